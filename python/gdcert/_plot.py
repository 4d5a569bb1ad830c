"""Figures in matplotlib, with the colours and dashes of the command's own, and what a notebook shows."""

import base64
import html as escape

# As in the command's figures: Okabe and Ito's colours; strokes and gaps in points.
LOSS = {"color": "#000000", "linewidth": 1.7}
PROVEN = {"color": "#56b4e9", "linewidth": 5.5}
HULL = {"color": "#aa6e00", "linewidth": 3.2}
READINGS = {
    "stacked": ("#d55e00", 2.2, (11, 4)),
    "per_head": ("#0072b2", 3.2, (6, 3)),
    "value": ("#009e73", 2.0, (9, 3, 2, 3)),
    "ntk": ("#cc79a7", 1.8, (2.5, 3)),
}
OWN = ("#5a3ca0", 2.2)
OWN_DASHES = [(1.5, 4), (14, 3, 2, 3), (4, 2), (10, 8)]


def new_axes():
    import matplotlib.pyplot

    return matplotlib.pyplot.subplots()[1]


def plot(v, ax=None):
    """The loss of a Verification against its bounds, on given or new axes; returns them."""
    import numpy as np

    ax = new_axes() if ax is None else ax
    trajectory = v.trajectory
    t, loss = trajectory["t"], trajectory["loss"]
    certificate = v.certificate
    if certificate is not None and certificate.kind == "theorem_a" and certificate.t < len(t):
        at = t[certificate.t :]
        with np.errstate(under="ignore"):
            proven = loss[certificate.t] * np.exp((at - certificate.t) * np.log1p(-certificate.rate))
        ax.plot(at, masked(proven), label=f"proven, rate {certificate.rate:.2e}", zorder=1, **PROVEN)
    if certificate is not None and certificate.kind == "obstructed" and v.f_hull:
        ax.axhline(v.f_hull, label="hull bound", zorder=1, **HULL)
    ax.plot(t, masked(loss), label="loss", zorder=3, **LOSS)
    own = [name for name in v.claims if name not in READINGS]
    styles = READINGS | {name: (*OWN, OWN_DASHES[i % len(OWN_DASHES)]) for i, name in enumerate(own)}
    for reading, (color, width, dashes) in styles.items():
        bound = trajectory[f"bound_{reading}"]
        if np.isnan(bound).all():
            continue
        claim = v.claims[reading]
        mark = " (deciding)" if reading == v.reading else ""
        style = {"color": color, "linewidth": width, "dashes": [length / width for length in dashes]}
        ax.plot(t, masked(bound), label=f"{reading}{mark}: {claim.verdict}", zorder=2, **style)
    top, low = np.nanmax(masked(loss)), np.nanmin(masked(loss))
    if low > 0:
        ax.set_yscale("log")
        # Bounds may leave the figure at the bottom, but not before they are seen to part from the loss.
        room = max(0.4 * np.log10(top / low), 1.5)
        ax.set_ylim(bottom=10.0 ** max(np.log10(low) - room, -320.0))
    ax.set_xlabel("step t")
    ax.set_ylabel("loss and bounds")
    ax.legend()
    return ax


def masked(values):
    """Values that a logarithmic axis can show."""
    import numpy as np

    return np.where((values > 0) & np.isfinite(values), values, np.nan)


def landscape(land, ax=None):
    """The first surface of a Landscape as filled contours; returns the axes."""
    ax = new_axes() if ax is None else ax
    ax.contourf(land.axis, land.axis, land.surfaces[0].T, levels=20, cmap="viridis")
    ax.set_xlabel("direction in W_Q")
    ax.set_ylabel("direction in W_K")
    return ax


STYLE = """<style>
.gdcert table {border-collapse: collapse; margin: 0.5em 0}
.gdcert th, .gdcert td {padding: 0.2em 0.7em; text-align: left; border-bottom: 1px solid #8884}
.gdcert img {max-width: 100%}
[data-jp-theme-light="false"] .gdcert img, .vscode-dark .gdcert img, html[data-theme="dark"] .gdcert img
  {filter: invert(1) hue-rotate(180deg)}
@media (prefers-color-scheme: dark) {body:not([data-jp-theme-light]):not(.vscode-light) .gdcert img
  {filter: invert(1) hue-rotate(180deg)}}
</style>"""


def framed(svg, table=""):
    """A figure, and a table above it, that follow the notebook's light or dark theme."""
    image = base64.b64encode(svg.encode()).decode()
    return f'{STYLE}<div class="gdcert">{table}<img alt="figure" src="data:image/svg+xml;base64,{image}"></div>'


def html(v):
    """What a notebook shows of a Verification: a table of the readings, and the figure."""
    cell = lambda tag, text: f"<{tag}>{escape.escape(str(text))}</{tag}>"  # noqa: E731
    number = lambda x: "" if x is None else f"{x:.4g}"  # noqa: E731
    rows = ["".join(cell("th", name) for name in ("reading", "verdict", "rate ηβ", "β", "first violation", "why"))]
    for name, claim in v.claims.items():
        mark = f"{name} (deciding)" if name == v.reading else name
        first = "" if claim.first_violation is None else claim.first_violation
        texts = (mark, claim.verdict, number(claim.rate), number(claim.beta), first, claim.reason)
        rows.append("".join(cell("td", text) for text in texts))
    facts = f"{v.steps} steps with η = {number(v.eta)}: loss {number(v.loss0)} to {number(v.final_loss)}"
    if v.measured_rate is not None:
        facts += f", measured rate {number(v.measured_rate)}"
    if v.certificate is not None:
        facts += f". {v.certificate.statement}"
    table = cell("p", f"{v.instance!r}") + "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"
    return framed(v.svg, table + cell("p", facts))
