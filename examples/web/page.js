// page.js - the page: reads the model and the recording, steps the GRU frame by frame, draws.
import {Core, parse} from "./qrnn.js";

const SPEED = 4; // frames of the recording a frame of the screen
const read = async (name) => {
    const response = await fetch(name);
    if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`);
    return response.arrayBuffer();
};

const canvas = document.getElementById("picture"), report = document.getElementById("report");
const again = document.getElementById("again");

/** A recording: frames [count][channels]; of each whether an utterance begins there, and who speaks. */
function recording(buffer) {
    const {tensors} = parse(buffer), {shape: [count, channels], values: frames} = tensors.get("frames");
    const ranges = Array.from({length: channels}, (_, i) => {
        const channel = frames.filter((_, k) => k % channels === i);
        return [Math.min(...channel), Math.max(...channel)];
    });
    return {count, channels, frames, ranges, begins: tensors.get("begins").values,
        speaker: tensors.get("speaker").values};
}

function softmax(scores) {
    const most = Math.max(...scores), powers = Array.from(scores, (score) => Math.exp(score - most));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / sum);
}

/** A column of the picture: the frame above, below it how sure of each speaker. */
function draw(context, {count, channels, ranges, speaker}, t, frame, sure) {
    const width = canvas.width / count, upper = canvas.height * 0.45, lower = canvas.height * 0.5;
    for (let i = 0; i < channels; i++) {
        const [least, most] = ranges[i], light = 95 - 75 * (frame[i] - least) / (most - least);
        context.fillStyle = `hsl(30 70% ${light}%)`;
        context.fillRect(t * width, upper * i / channels, width + 1, upper / channels + 1);
    }
    const row = lower / sure.length, top = canvas.height - lower;
    sure.forEach((p, k) => {
        context.fillStyle = k === speaker[t] ? `hsl(220 80% ${92 - 62 * p}%)` : `hsl(0 0% ${98 - 88 * p}%)`;
        context.fillRect(t * width, top + k * row, width + 1, row);
    });
}

/** All frames through the stream; the scores of each. */
async function play(stream, classifier, signal) {
    const context = canvas.getContext("2d"), scores = [];
    let time = 0;
    context.clearRect(0, 0, canvas.width, canvas.height);
    for (let t = 0; t < signal.count; t++) {
        if (t % SPEED === 0) await new Promise(requestAnimationFrame);
        const frame = signal.frames.subarray(t * signal.channels, (t + 1) * signal.channels), before = performance.now();
        if (signal.begins[t]) stream.reset();
        const score = classifier.apply(stream.step(frame));
        time += performance.now() - before;
        scores.push(score);
        draw(context, signal, t, frame, softmax(score));
    }
    return {scores, time};
}

/** Of the utterances, those whose last frame names the right speaker. */
function rightly(scores, {count, begins, speaker}) {
    let right = 0, all = 0;
    for (let t = 0; t < count; t++) {
        if (t + 1 < count && !begins[t + 1]) continue;
        all++;
        right += scores[t].indexOf(Math.max(...scores[t])) === speaker[t];
    }
    return {right, all};
}

async function main() {
    const core = await Core.load(await read("qrnn.wasm"));
    const model = core.model(await read("model.safetensors")), signal = recording(await read("recording.safetensors"));
    const stream = model.layer("rnn").stream(), classifier = model.layer("classifier");
    const run = async () => {
        again.disabled = true;
        report.textContent = "Listening.";
        const {scores, time} = await play(stream, classifier, signal), {right, all} = rightly(scores, signal);
        report.textContent = `${signal.count} frames, ${right} of ${all} speakers named at the end of their utterance; ` +
            `${(1000 * time / signal.count).toFixed(1)} µs a frame with the kernels of ${core.isas().at(-1)}.`;
        window.scores = scores; // for whoever looks, and for the test
        again.disabled = false;
    };
    again.onclick = run;
    await run();
}

main().catch((error) => { report.textContent = `${error}`; });
