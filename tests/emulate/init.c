/* The first and only process of the emulated machine: runs one command, reports its exit status on
 * the second serial line and stops the emulator. The first serial line carries the command's
 * standard output and error, byte for byte.
 *
 * /emulate/argv and /emulate/env hold the command and its environment, each string ended by NUL.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { BUFFER = 1 << 16, STRINGS = 1024, SHUTDOWN_PORT = 0x8900 };

static int console = -1;                /* the second serial line, for this program's own words */

static void stop(int status)
{
    dprintf(console, "\nemulate: exit status %d\n", status);
    tcdrain(console);
    if (iopl(3) == 0)
        for (const char *p = "Shutdown"; *p; p++) outb((unsigned char)*p, SHUTDOWN_PORT);
    reboot(RB_POWER_OFF);
    for (;;) pause();
}

static void fail(const char *what)
{
    dprintf(console, "emulate: %s: %s\n", what, strerror(errno));
    stop(125);
}

static int line(const char *path)
{
    struct termios t;
    int fd = open(path, O_RDWR | O_NOCTTY);

    if (fd < 0 || tcgetattr(fd, &t) != 0) return -1;
    cfmakeraw(&t);
    t.c_cflag |= CLOCAL;
    cfsetspeed(&t, B115200);
    return tcsetattr(fd, TCSANOW, &t) == 0 ? fd : -1;
}

/* Splits the file at its NULs; `list` ends with a null pointer. */
static void load(const char *path, char *buffer, char **list)
{
    size_t used = 0, n = 0;
    int fd = open(path, O_RDONLY);
    ssize_t got;

    if (fd < 0) fail(path);
    while ((got = read(fd, buffer + used, BUFFER - 1 - used)) > 0) used += (size_t)got;
    close(fd);
    if (got < 0 || used == BUFFER - 1) fail(path);
    buffer[used] = 0;
    for (size_t i = 0; i < used && n < STRINGS - 1; i += strlen(buffer + i) + 1) list[n++] = buffer + i;
    list[n] = NULL;
}

int main(void)
{
    static char text[2][BUFFER], *argv[STRINGS], *envp[STRINGS];
    int status, out;
    pid_t child, got;

    mkdir("/dev", 0755);
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mkdir("/tmp", 01777);
    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mkdir("/dev/shm", 01777);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    mount("tmpfs", "/tmp", "tmpfs", 0, NULL);
    mount("tmpfs", "/dev/shm", "tmpfs", 0, NULL);

    console = line("/dev/ttyS1");
    out = line("/dev/ttyS0");
    if (out < 0) fail("/dev/ttyS0");
    load("/emulate/argv", text[0], argv);
    load("/emulate/env", text[1], envp);
    if (!argv[0]) {
        errno = EINVAL;
        fail("no command");
    }

    child = fork();
    if (child < 0) fail("fork");
    if (child == 0) {
        int null = open("/dev/null", O_RDONLY);

        setsid();
        dup2(null, 0);
        dup2(out, 1);
        dup2(out, 2);
        close(null);
        close(out);
        close(console);
        execvpe(argv[0], argv, envp);
        fprintf(stderr, "emulate: %s: %s\n", argv[0], strerror(errno));
        _exit(errno == ENOENT ? 127 : 126);
    }
    do                                  /* orphans of the command end here too */
        got = waitpid(-1, &status, 0);
    while (got != child && (got >= 0 || errno == EINTR));
    tcdrain(out);
    stop(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}
