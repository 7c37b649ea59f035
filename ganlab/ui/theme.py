"""The one look of the page: calm paper, ink, and two colours with a meaning.

Orange is always the generator, blue always the discriminator: in the mark, in the plots, in words.
Fonts come with gradio, so nothing is fetched.
"""

from pathlib import Path

from gradio.themes import Base, colors, sizes
from gradio.themes.utils.fonts import LocalFont

GENERATOR = "#e8590c"
DISCRIMINATOR = "#1c7ed6"
NEUTRAL = "#868e9c"  # a mark in a plot that belongs to neither

_INK = colors.Color(
    name="ink",
    c50="#f6f7f9",
    c100="#eceef2",
    c200="#dde1e8",
    c300="#c3c9d4",
    c400="#939cad",
    c500="#697386",
    c600="#4b5466",
    c700="#353d4c",
    c800="#232935",
    c900="#171b24",
    c950="#10131a",
)
_ACCENT = colors.Color(
    name="accent",
    c50="#eef1ff",
    c100="#e0e5ff",
    c200="#c7d0fe",
    c300="#a5b1fc",
    c400="#8189f8",
    c500="#5f61ee",
    c600="#4f46e5",
    c700="#4338ca",
    c800="#3730a3",
    c900="#312e81",
    c950="#1e1b4b",
)


def build_theme() -> Base:
    return Base(
        # The bundled semi-bold lacks most letters; the bold one is whole.
        font=(LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"),
        font_mono=(LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"),
        primary_hue=_ACCENT,
        secondary_hue=_ACCENT,
        neutral_hue=_INK,
        radius_size=sizes.radius_md,
        spacing_size=sizes.spacing_md,
        text_size=sizes.text_md,
    ).set(
        body_background_fill="#f3f4f7",
        body_background_fill_dark="#0e1117",
        body_text_color="#232935",
        body_text_color_subdued="#5a6476",
        body_text_color_subdued_dark="#9aa4b6",
        background_fill_primary_dark="#171b24",
        background_fill_secondary_dark="#12161e",
        block_background_fill="#ffffff",
        block_background_fill_dark="#171b24",
        block_border_width="1px",
        block_border_color="#e4e7ed",
        block_border_color_dark="#272e3b",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="#4b5466",
        block_label_text_color_dark="#aab3c3",
        block_title_text_color="#353d4c",
        block_title_text_color_dark="#d5dae3",
        block_title_text_weight="600",
        block_info_text_color="#5a6476",
        block_info_text_color_dark="#9aa4b6",
        block_shadow="none",
        input_background_fill="#ffffff",
        input_background_fill_dark="#10141c",
        input_border_color="#d5dae3",
        input_border_color_dark="#343c4b",
        input_border_width="1px",
        checkbox_label_background_fill="#f3f4f7",
        checkbox_label_background_fill_dark="#1f2530",
        checkbox_label_background_fill_selected="#e0e5ff",
        checkbox_label_background_fill_selected_dark="#312e81",
        checkbox_label_text_color_selected="#312e81",
        checkbox_label_text_color_selected_dark="#eef1ff",
        checkbox_label_border_width="1px",
        checkbox_label_border_color="transparent",
        checkbox_label_border_color_selected="#a5b1fc",
        button_primary_background_fill="#4f46e5",
        button_primary_background_fill_hover="#4338ca",
        button_primary_background_fill_dark="#5f61ee",
        button_primary_background_fill_hover_dark="#4f46e5",
        button_primary_text_color="#ffffff",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_dark="#232935",
        button_secondary_border_color="#d5dae3",
        button_secondary_border_color_dark="#3b4455",
        button_border_width="1px",
        # Of dark paper, gradio's own stand out less than the text around them.
        link_text_color_dark="#a5b1fc",
        link_text_color_hover_dark="#c7d0fe",
        link_text_color_active_dark="#a5b1fc",
        link_text_color_visited_dark="#a5b1fc",
        slider_color="#4f46e5",
        slider_color_dark="#8189f8",
    )


STYLES = [Path(__file__).with_name(name) for name in ("page.css", "blend.css", "browse.css")]
