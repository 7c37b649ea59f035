"""The small picture of what trains when: a row for each part of G and D, a column per phase."""

from html import escape

from ganlab.strategies import D_PARTS, G_PARTS, STRATEGIES, THAWS, Phase, Strategy

WORDS = {"trains": "training", "frozen": "frozen", "new": "new"}
_WHO = (
    '<p class="gl-meta">From left to right: the run, from Start to its end. <b class="gl-g">G</b>, '
    'the generator, draws; <b class="gl-d">D</b>, the discriminator, learns to tell what G draws '
    "from your pictures; its logit is its verdict.</p>"
)
_BAR, _ROW, _LEFT, _GAP = 230, 13, 100, 3  # pixels


def strategy_note(name: str, thaw: str = "whole") -> str:
    """One sentence, the picture and its legend."""
    strategy = STRATEGIES[name]
    legend = "".join(
        f'<span><i class="gl-when gl-when-{key}"></i>{word}</span>' for key, word in WORDS.items()
    )
    return (
        f'<div class="gl-strategy"><p class="gl-note">{escape(strategy.summary)}</p>'
        f'{_picture(strategy, thaw)}<p class="gl-when-legend">{legend}</p>{_WHO}</div>'
    )


def _picture(strategy: Strategy, thaw: str) -> str:
    rows = [("G", part, title) for part, title in G_PARTS.items()]
    rows += [("D", part, title) for part, title in D_PARTS.items()]
    marks, y, before = [], 0, "G"
    for network, part, title in rows:
        y += 6 if network != before else 0
        before = network
        marks.append(
            f'<text x="{_LEFT - 8}" y="{y + 10}" text-anchor="end">{network} {escape(title)}</text>'
        )
        x, began = float(_LEFT), 0.0
        for phase in strategy.phases:
            width = _BAR * (phase.until - began)
            kind = state_of(strategy, phase, network, part, thaw)
            marks.append(
                f'<rect class="gl-when-{kind}" x="{x:.1f}" y="{y + 1}" rx="2" '
                f'width="{max(width - 1.5, 1):.1f}" height="{_ROW - _GAP}"/>'
            )
            x, began = x + width, phase.until
        y += _ROW
    label = f"What trains when: {escape(strategy.title)}"
    return (
        f'<svg class="gl-schedule" viewBox="0 0 {_LEFT + _BAR} {y}" role="img" '
        f'aria-label="{label}">{"".join(marks)}</svg>'
    )


def state_of(strategy: Strategy, phase: Phase, network: str, part: str, thaw: str) -> str:
    """ "new", "trains" or "frozen"."""
    learning = phase.g if network == "G" else phase.d
    if network == "G" and strategy.thaws and phase is strategy.phases[-1]:
        learning = THAWS[thaw][1]
    if part not in learning:
        return "frozen"
    is_new = not strategy.keeps or (strategy.is_new_head and network == "G")
    return "new" if is_new else "trains"
