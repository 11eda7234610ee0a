"""Pickles that version 0.1.0 made of torch models load, and compute the same; new ones name public paths alone."""

from __future__ import annotations

import base64
import importlib
import pickle
import re
import zlib

import pytest
from support.torch_models import each_kind, make, torch

import qrnn.torch as qt
from qrnn.torch.nn.quantized import dynamic

#: What pickles of 0.1.0 hold, and what a call of it with ones gives.
OLD = {
    "Sequential": (
        """
c-q}o&u<$=6!zMV6CAf`8i+~~g{UBK4p_G1I8F^jYEX-`#f1bUs|ZGG@7lA?X4ktrn<$9LF(__=7FyJS3aKEK1Bxo>e}F3voVmaaPF!dtgg7Cj@Z
+s#<Jd_IzHmr<@Y|XB=FQCazIpT3{2vN^p8C%oBASuM5mk*WYNDk`W+bnvM37a<pmuOx(k)3PvY^nLbi6`WY1r-|1`Nw;k#5?(s3aJ|qC_Oagh9I
p<*Y)%Z44t-Q&9<8vPr<p?iey9La$SM0Of@I!m?n9sANb8YubWI?cThmC{mutn(DMJ8=_=L;`4HzI9r&bcHiDKHU;-N-GfLrQNdD_)?u2lPojcm9
Ka8?_M&B(VC2jz?jlC^Ap~VvSTRvvfc=Rs=5zzIcLX*vdT`{BHTscB1R^03&et;ik>-K@zK4*a3F5yYh7Te%vvq|Y<VL(6RW3^Hr*#8#&=7=f2@v
`>B{3qdsKTP0-;;=>C=i_Pi*v8e!e>JpxN8#!Rw?drJU+B6$wf?%jHw-BPLV}qXX0sONI6SZL<G7pH3Kch!AICW!C)pBp(s)N6gx%1&=yf{g}_#C
((?h%<5}~*8&q~~U-)C}>efq-M%KJ9KJdZ+s_qGAPl2pUhDJ0H5?XT9r>Qyzfb0nvQDj0C2}!Cb3##tj$OfU4tdt~V!ck4#x2pTY*)Hfbv1Smxi}
z-I(2`Z62Y7$h@A%NvqTbE>EeqBRXS*FR+p_M-*N+gK#ey-<`hq%_JqeKML}EG~jix51Qn6%IXKwQ)OZV}i4AK2BgR|Fl&tX_jh=kaE_54+?ykE)
wS^mCU`I4^FIm&zZ0Pn3*-pg}Ux>=7cq0T*N@Q+N;tVHod7$?sU90mF=K-@_?{^FCd$#@HYfwufHEbtd_`8!jaP5Z__N^ft5(jRQyNPj#0^|>Ych
jR@s*D24fH}klwV~kw}kGufmlknf602#JPfR(LE?<?iXy;S+fa%Td>$4!9AiBuxmp#T}SNr10ix|b$b2h(SNyORC{EvJ7k-%4MrZlv1_usbIUrjt
gG4}ZyIqGSFXY!iQ@3lF}UeCFe4@BIAu%-Ana-T!9$r`i{nr)vMjA3iqx#itX|Sh6$zTx=76g~#5jeOefqS--not8RT>oBwsEHnur_zb$_j4qm4?
RBz*cW(G3&VfHo1%o%2em>FSal$kMR&NA}^GfzT+7(gZ#O7PD2Hx(YceO>c)>y!n)qG37d#k-N=Jr~_`cnGaPY#|awC|0TMcYJ_>GEjh`FMyzAfr
0@?@s%pYFW`KYRvml^szWH>GFHy!V$_awTJtEdiU2in;1c^dwB`x0l*g1dyK|&piC7{v-KsKg+gr-8pfax;oV$&;fjjhV2)S=V)59?P_mRGpv8lx
5zOs&M$Crx*zBre!neT2lUI6Yu2J<@^>{zfg5ub`DQk}8nVw+fc!@l!eTbBN}JcU>ATX41A1mH;dKpw(txPsr#;CJv1{8<&Yh_69{v8-I=AExHoV
*
        """,
        [[0.17199432849884033]],
    ),
    "LSTM": (
        """
c-q~VUu@e%0Ed$_O+(g>EOcc{S2n>*%CwL=PTGhq87mqLvvz9{M5u6b;!Et!v19wPDoEX0iG~(gn*>+TU~jDu2nK}>Bs7}7zyKj0;ROK_F9?C)0b
Zsd#yNjhr%gj1Y4Tvlcfa%bzWeONH*H^Vcr2xlzF$!#$&X|;$@|F{CC5rgcn)%YE-$eeA?eS^Tuy|VpTw|ke|-Fj<M?IVKZB>RPj@1f6(m7Q<9U4
>$g(P%fe5M^snneykxQk@2R^-X5(;S^0f7f%0PCIQ4nYnHqK0)3P+=k`h#Wvr(qt8!p-3k_y{jD4$c{}zth<3Ivm8jNat0*w2x=sC#AUTurfn~}#
J?{cy|M4qn<sYrr)|f7X(QVy#o~**$uP63jO3&&f-~fT1X)t7BoOZ+HKKr!2mzEhft3{7T--$pQ9cWSMlfhf+mvGW#oI}t#>*;F+8JBCjT{LQQXG
suZa2;$OKGKpvFCE6PhY&l2$wHeu_Q}Fa1HaUI$kbwDc1OQ5{b}sgbD=010gz02bA(@li8fo#<)k2Vn0bv_Kaewm$kBfcX|FS(T-xz++y)0^ZCuO
bHN=?;#oX~84KfNYz55N7;C|p8!~heCJ`Aqp}lQX<)8|=hlM0E=5h=p(nj}~rwC|CR)m=E^6~EBTmO5!M~N4xKHs6>U@#J(Yxr6>;aklTzSaugPu
{xvV1;Ra|2)5|N~<a~UlO{+X{(z!L<gvWaC0VBvnCTi*nM&7+QHEKzGHv1?;Sh$T0Ilj_<79yTFN#$L=81-TPbU@?d!Ae*0rs>=H67HF>=^4)&&C
;-K=$`tjW61sH+b=G!dA7=Wy?(kMd7_(bzg~J&rA8AK^0)3^!+AC2O+p-tVt8w2yB|`zSgRZu*&LWKH({F#XT#7jJZbIr?6H;=+%P?&j>{ThzYbA
Qf5n`_bUpSIU~~JJol&u6?eAz-pC0j%DY1w}NwxZ&PY0Pz%c0KsqB!KshU*_FR6x`17OZqo3Z~89P|$iyi)WZ|rWbJ9<p$TlEdi9=a{zEM}~;cmq
nlwNM6Wx@nZ9tO+G^_NU^~72oPB-|UNhwRlI2dx>8Ct<Vv@{@0%?6QjScY>v{iX63pk;?_q>g$5&3lSs>16Vk%9{n1;V^U=qq4jj7wjpgF@6K_Xn
mJY1?7rrg-Iua`W7gD}8k%p;IxLKs7tO@C>PcIjhk*Q+mv)!x9?cU;t*S*o6?|v=X7Q0tM3)a}CNOO8GkYovD4I~<Qw?@^Ma-czkFJS#HkYJOiCs
~yPSrr0amQQQA)Ly@Ht;$^70|X7Ea-vvUjYstDASJ6C^4{7~FexA&812&4#GZ8tR-9z>8X!N5BIGI=&+W|m%e-e}O`Se=01dGS0*<`%)->N~u2_F
=Z+X3;L85nKLe^?~aDvJbim@u<02<F`A-N#ax=XdJeY~_cRzB>ahBC%K2-_TEWo+{=kokS2qJstD8LW2@q0@pynmJO5G|XhMZYNX2l8JBtiOrDye
7uVvFJS&Yeu8X+JS5v;UMdhbNb@Y2KEih-m+=1!W`T}C
        """,
        [[0.004202279727905989, 0.12984821200370789, 0.07124637812376022, -0.2504841685295105]],
    ),
    "PreparedRNNCell": (
        """
c-q}oO=ufO6xN?DS+Wz?A*OLk3At1uAS_2|oj5q94nAawV!H%%3B&B}NHg_nS35gvS)s0NiXA%)l;SD9v=j=3(w{@2mlmAfdus2Yr?${bkA;>(`g
T{ACEGE+Ho~lD=6&yHzBlvUtffBqJ{t>v@`B54yC58H(1Pn@Td)UMFvl)5IB8%`OeIgxwTBDk@(i&owWBVrs}+@(8No5LnO#%cGKT<z>qHRlg~EX
*VKpicqe>1&4v;UH<taIWIMID(nfp3mln!(W1hGAbqooND<mFJL@4-J@BT5b<%fTk9a;J{;mLMLW-pIvcv9-jbto83lvwvTB>+`vDg|)<;Ka%iWa
bx+)FzmO%9pM;`g_a;p*rpo?KxGId78AlEh}b5>wwu_h1PqB*gCLJRAfB6CaZ~w9A1r#*;ll0H5|t#(m@V9XEmcVcHXOU=rnQvsgU@^=9e|^d-Ix
(>Av+6!i#MaitQ)VK0?f5i>Dt8j_++V6ERL7l$ga`w-K3T(3pX_n*6zEpqp)#YNJW{9{rZdA{bKQx8=p<Jb_<V2rqza8P+Ck&Xo*b)-}q*bCD^+~
j3C31humFm5=iVVW{4oG3rc{_7JU&$4`I~FA*G7u=un;xKL;!qi^W$bPsnnF?PB?-&EKYPFJHd-`q1yw-#xi}^C*@>{thsi)*1GKyRgS&@_*0cmE
zT_6Fod8p2=f`1s)S^9&a`0cSk<H_(O-k4W-35j^mC#Puz`9Tsbj!5w?pv{OOmEKYaJE=@W40%M8-}YBeg#@;tH~8#Mw(JgBf@Plh}q)O$*vK{_@
To0vmo<^)m4S@cwBOrG8sbuW)1=Ao)@S-oOamZwnF;fL^Jy{o9n1Vw>fZ4dF%0R*<1xaA=OL*X*pn2`?VV3;o-mK@>Z1>^}V2r{AY^{Aii796xa7
ImFt5a$mg9Iw|y2Gt$Yw@8?eEVCQF2+ti951FIPG>P4rr-Fm8w&WmW&0;peoQal_DS>ThsspIgqiIa$qAnda@BI$lPwW~ff=<xql}s`ZLvAt-XRw
Yfbss=y!#4o@wIeH7xCI?q_TRyRvt_U*M{U2}Xcds*a8juImSC8346zJC$2Opu2=0eHMD~S9xU{wzL3ZGXZm5~K9v;ZN7LRHr^<|$K+`2$1!HQ~o
E0QN={B2b(mv29XU-;2tLh0Kxsr8FLuEP1&si4ikCT(>r!sH#9sFu2|+&I!o=AZ27_4mKox&CZR5>TD`1gM8<T~YT4Y`Bkgi0t0#z18FG{rU4(Q?
I=C_0;jG&dqLnB{B_9Bx4a$T$cU7z6qlh<?Ax-0_#;)Q}SGxy`HyQN0y$SiAKQj*kPQbdxS3qsm`ET9MrAW{?SPq@KmGU$}@8oHVAbrcq-i8QviF
JMbc_I+>Bm(?Oe)S=miB6(0&ZKe%FV}IT;o!IS~3sb!Nk<=*;l4(w@R)@Q~TEah(}z%lGy2CNKb39X10l1$0j+T|q1$)eHXtuLR88
        """,
        [[-0.41330668330192566, -0.07135768234729767]],
    ),
}


@pytest.mark.parametrize("name", OLD)
def test_pickles_of_the_first_version(name):
    text, want = OLD[name]
    module = pickle.loads(zlib.decompress(base64.b85decode("".join(text.split()))))
    assert type(module).__name__ == name
    for each in (module, pickle.loads(pickle.dumps(module))):
        result = each(torch.ones(1, 2))
        assert (result[0] if isinstance(result, tuple) else result).tolist() == want


def test_codes_of_a_prepared_module_of_the_first_version():
    """It was quantized before, and gets the same codes back."""
    prepared = pickle.loads(zlib.decompress(base64.b85decode("".join(OLD["PreparedRNNCell"][0].split()))))
    original = prepared._prepared.original
    for matrix, tensor in zip(original, qt.convert(prepared).get_weight().values(), strict=True):
        assert (tensor.int_repr().numpy() == matrix.weight).all()
        assert (tensor.q_per_channel_scales().numpy() == matrix.scale).all()


@each_kind
def test_pickles_name_public_paths(kind):
    """Those of private files would not load where a file has moved."""
    quantized = qt.quantize_dynamic(make(kind))
    for module in (quantized, qt.prepare(make(kind), qconfig={}), qt.prepare(quantized, qconfig={})):
        names = set(re.findall(rb"qrnn\.[\w.]+", pickle.dumps(module, 2)))
        assert names and not {each for each in names if b"._" in each} - {b"qrnn._types"}


def test_paths():
    for path, name, found in (
        ("nn.quantized.dynamic.modules.cells", "GRUCell", dynamic.GRUCell),
        ("nn.quantized.dynamic.modules.rnn", "LSTM", dynamic.LSTM),
        ("nn.quantized.dynamic.modules.rnn", "RNNCell", dynamic.RNNCell),
        ("nn.quantized.dynamic.modules.linear", "Linear", dynamic.Linear),
        ("quantized.dynamic", "Linear", dynamic.Linear),
        ("quantization.quantize", "prepare_qat", qt.prepare_qat),
    ):
        assert getattr(importlib.import_module(f"qrnn.torch.{path}"), name) is found
    with pytest.raises(AttributeError, match="has no attribute 'PreparedNothing'"):
        importlib.import_module("qrnn.torch.quantization.prepared").__getattr__("PreparedNothing")
