"""Sketch of a loss and its Gaussian-smoothed versions, in closed form (Addax, Figure 5 left).

    L(theta)     = a/2 theta^2 - sum_i h_i exp( -(theta - c_i)^2 / (2 s_i^2) )
    L_eps(theta) = E_z[ L(theta + eps z) ]
                 = a/2 (theta^2 + eps^2)
                   - sum_i h_i s_i / S_i exp( -(theta - c_i)^2 / (2 S_i^2) ),   S_i^2 = s_i^2 + eps^2

The mean of the two-point estimate g0 z is the gradient of L_eps. In L_eps, a narrow minimum is shallower than
a wide one. The sketch is one-dimensional and needs no result rows. Source: arXiv 2410.06441.
"""

import numpy as np
from matplotlib.figure import Figure

from benchmarks.results.frame import Results
from plots._style import PAGE, Page, legend_above, styles

SUITE = None  # the figure needs no rows
BOWL = 0.12  # a
WELLS = ((-1.1, 1.3, 0.14), (1.0, 1.0, 0.75), (2.35, 0.25, 0.12), (-2.3, 0.22, 0.15))  # (c, h, s)
EPS = (0.2, 0.5)
SPAN = 3.0
POINTS = 2001


def smoothed(theta: np.ndarray, eps: float) -> np.ndarray:
    """Return L_eps at each theta; eps = 0 gives L itself."""
    value = BOWL / 2 * (theta**2 + eps**2)
    for center, depth, width in WELLS:
        wide = np.hypot(width, eps)
        value = value - depth * width / wide * np.exp(-((theta - center) ** 2) / (2 * wide**2))
    return value


def draw(results: Results, page: Page = PAGE) -> dict[str, Figure]:
    """Return one figure, keyed by file stem; `results` is not used."""
    style_of = styles(["MeZO", "MeZO-SVRG", "Adam"])
    lines = {
        0.0: (r"$L(\theta)$", style_of["Adam"].color, "-"),
        EPS[0]: (rf"$\epsilon$ = {EPS[0]:g}", style_of["MeZO-SVRG"].color, (0, (3, 1))),
        EPS[1]: (rf"$\epsilon$ = {EPS[1]:g}", style_of["MeZO"].color, "-"),
    }
    theta = np.linspace(-SPAN, SPAN, POINTS)
    figure = page.figure(1, 2.4)
    axes = figure.subplots()
    axes.grid(False)
    for eps, (label, color, dashes) in lines.items():
        value = smoothed(theta, eps)
        axes.plot(theta, value, color=color, ls=dashes, lw=1.5 if eps else 1, label=label)
        low = value.argmin()
        axes.plot(theta[low], value[low], "o", color=color, mec="white", mew=0.5, ms=5, zorder=3)
    axes.set(xlabel=r"$\theta$", ylabel="loss", xticks=[], yticks=[], xlim=(-SPAN, SPAN))
    keys, labels = axes.get_legend_handles_labels()
    title = r"a loss and its mean $\mathrm{E}[L(\theta + \epsilon z)]$, $z \sim N(0, 1)$"
    legend_above(figure, keys, labels, title)
    return {"smoothing": figure}
