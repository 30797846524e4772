"""Whose layer it is, where forks gave one name to different things."""

from __future__ import annotations

from caffeport.caffe.fields import Fields


def bn_dialect(f: Fields, p: Fields) -> str:
    """The fork whose fields a BN layer has: SegNet, PSPNet (its first commits) or TSN (and PSPNet's later ones).

    SegNet's and PSPNet's share scale_filler and shift_filler. A layer without any such field is told by how many
    `param` it has, one for each blob: SegNet's has two, the others four.
    """
    marks = {
        "TSN": ("slope_filler", "bias_filler", "momentum", "eps", "frozen", "engine"),
        "PSPNet": ("var_eps", "decay", "moving_average", "axis"),
        "SegNet": ("bn_mode",),
    }
    found = [name for name, fields in marks.items() if any(p.has(field) for field in fields)]
    if len(found) > 1:
        raise p.refuse("bn_param", f"has fields of several forks: {', '.join(found)}", "those of one fork")
    if found:
        return found[0]
    if p.has("scale_filler") or p.has("shift_filler") or f.count("param") == 2:
        return "SegNet"
    if f.count("param") == 4:
        return "TSN"
    todo = "write bn_param { frozen: true } for TSN's and PSPNet's, bn_param { bn_mode: INFERENCE } for SegNet's"
    raise p.refuse("bn_param", "does not tell whose BN this is", "SegNet, PSPNet and TSN mean different things", todo)
