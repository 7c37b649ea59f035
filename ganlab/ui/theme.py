"""The one look of the page: calm paper, ink, and two colours with a meaning.

Orange is always the generator, blue always the discriminator: in the mark, in the plots, in words.
Fonts come with gradio, so nothing is fetched.
"""

from gradio.themes import Base, colors, sizes
from gradio.themes.utils.fonts import LocalFont

GENERATOR = "#e8590c"
DISCRIMINATOR = "#1c7ed6"

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
        slider_color="#4f46e5",
        slider_color_dark="#8189f8",
    )


CSS = f"""
:root {{ --gl-g: {GENERATOR}; --gl-d: {DISCRIMINATOR}; }}
.gradio-container {{ max-width: 1400px !important; width: 100% !important;
  margin: 0 auto !important; }}
.gradio-container > .main {{ padding: 18px 24px 40px !important; }}
footer {{ display: none !important; }}

/* Header */
.gl-header {{ display: flex; align-items: center; gap: 12px; padding: 2px 2px 10px; }}
.gl-header svg {{ width: 38px; height: 38px; flex: none; }}
.gl-header h1 {{ font-size: 1.35rem; font-weight: 650; letter-spacing: -.02em; margin: 0;
  line-height: 1.15; color: var(--body-text-color); }}
.gl-header p {{ margin: 1px 0 0; color: var(--body-text-color-subdued); font-size: .92rem; }}

/* Cards: one frame per subject, not one per widget */
.gl-card {{ background: var(--block-background-fill); border: 1px solid var(--block-border-color);
  border-radius: 14px; padding: 16px; gap: 12px !important; }}
.gl-card .block, .gl-card .form {{ border: 0 !important; background: transparent !important;
  box-shadow: none !important; padding-left: 0; padding-right: 0; overflow: visible; }}
.gl-card .form {{ gap: 14px !important; }}
.gl-card .block.gl-plot {{ padding: 0; }}
.gl-html, .gl-html .prose {{ max-width: none; }}
.gl-html .html-container {{ padding: 0 !important; }}

/* Data set */
.gl-data img {{ width: 100%; border-radius: 8px; display: block; background: #fff;
  image-rendering: auto; }}
.gl-data p {{ margin: 8px 0 0; font-size: .92rem; line-height: 1.45; }}
.gl-data .gl-meta {{ color: var(--body-text-color-subdued); font-size: .84rem; }}
.gl-data .gl-missing {{ border: 1px dashed var(--input-border-color); padding: 14px;
  border-radius: 8px; text-align: center; color: var(--body-text-color-subdued);
  font-size: .9rem; }}
.gl-note {{ color: var(--body-text-color-subdued); font-size: .88rem; line-height: 1.45;
  margin: 0; }}
.gl-estimate {{ font-size: .92rem; margin: 0; text-align: center; min-height: 1.4em; }}

/* Status */
.gl-state {{ display: flex; align-items: center; gap: 10px; flex-wrap: wrap; min-height: 30px; }}
.gl-chip {{ display: inline-flex; align-items: center; gap: 7px; padding: 3px 12px 3px 10px;
  border-radius: 99px; font-weight: 600; font-size: .88rem; background: var(--gl-chip-bg);
  color: var(--gl-chip-ink); white-space: nowrap; }}
.gl-chip::before {{ content: ""; width: 8px; height: 8px; border-radius: 50%;
  background: currentColor; }}
.gl-chip {{ --gl-chip-bg: #e8ebf0; --gl-chip-ink: #3f4858; }}
.gl-running .gl-chip, .gl-stopping .gl-chip {{ --gl-chip-bg: #e0e5ff; --gl-chip-ink: #3730a3; }}
.gl-finished .gl-chip {{ --gl-chip-bg: #d9f5e3; --gl-chip-ink: #17693a; }}
.gl-failed .gl-chip, .gl-interrupted .gl-chip {{ --gl-chip-bg: #ffe3de; --gl-chip-ink: #a42a13; }}
.dark .gl-chip {{ --gl-chip-bg: #2a313e; --gl-chip-ink: #cbd2de; }}
.dark .gl-running .gl-chip, .dark .gl-stopping .gl-chip {{ --gl-chip-bg: #2c2a63;
  --gl-chip-ink: #d3d7ff; }}
.dark .gl-finished .gl-chip {{ --gl-chip-bg: #123d25; --gl-chip-ink: #a4eabf; }}
.dark .gl-failed .gl-chip, .dark .gl-interrupted .gl-chip {{ --gl-chip-bg: #4c1a10;
  --gl-chip-ink: #ffc9bd; }}
.gl-message {{ font-size: .95rem; line-height: 1.4; }}
.gl-bar {{ height: 6px; border-radius: 99px; background: var(--block-border-color);
  overflow: hidden; margin: 2px 0 12px; }}
/* No animations: on a laptop the browser would paint on the very cores that train. */
.gl-bar > div {{ height: 100%; border-radius: 99px; background: var(--slider-color); }}
.gl-facts {{ display: grid; grid-template-columns: repeat(4, 1fr); gap: 8px; margin: 0; }}
.gl-facts dt {{ font-size: .78rem; color: var(--body-text-color-subdued); }}
.gl-facts dd {{ margin: 0; font-size: 1.12rem; font-weight: 600;
  font-variant-numeric: tabular-nums; color: var(--body-text-color); white-space: nowrap; }}
.gl-title {{ color: var(--body-text-color-subdued); font-size: .88rem; margin-left: auto; }}

/* Samples */
.gl-grid {{ margin: 0; }}
.gl-grid .gl-rows {{ display: grid; grid-template-columns: auto 1fr; gap: 10px;
  align-items: stretch; }}
.gl-grid .gl-rows.gl-one {{ grid-template-columns: 1fr; }}
.gl-grid .gl-labels {{ display: flex; flex-direction: column; justify-content: space-around;
  font-size: .82rem; color: var(--body-text-color-subdued); max-width: 96px; }}
.gl-grid .gl-labels span {{ flex: 1; display: flex; align-items: center; line-height: 1.1;
  overflow-wrap: anywhere; }}
.gl-grid img {{ width: 100%; height: auto; display: block; border-radius: 10px; }}
.gl-grid figcaption {{ margin-top: 8px; font-size: .86rem; color: var(--body-text-color-subdued);
  font-variant-numeric: tabular-nums; }}
.gl-waiting {{ display: grid; place-items: center; aspect-ratio: 2; border-radius: 10px;
  background: var(--background-fill-secondary); color: var(--body-text-color-subdued); }}

/* Empty state */
#empty {{ min-height: min(640px, 74vh); justify-content: center; }}
.gl-empty {{ text-align: center; padding: 20px 20px 8px; }}
.gl-empty svg {{ width: min(440px, 90%); height: auto; margin: 0 auto; display: block; }}
.gl-empty h2 {{ font-size: 1.3rem; margin: 18px 0 6px; font-weight: 650; }}
.gl-empty p {{ max-width: 480px; margin: 0 auto 6px; color: var(--body-text-color-subdued);
  line-height: 1.5; }}
.gl-begin {{ max-width: 280px; margin: 6px auto 34px !important; }}

.gl-plot-head {{ font-size: .9rem; font-weight: 600; margin: 0; }}
.gl-plot-head small {{ display: block; font-weight: 400; color: var(--body-text-color-subdued);
  font-size: .8rem; line-height: 1.35; }}
.gl-g {{ color: var(--gl-g); }} .gl-d {{ color: var(--gl-d); }}
.dark .gl-g {{ color: #ff922b; }} .dark .gl-d {{ color: #4dabf7; }}

:focus-visible {{ outline: 2px solid var(--slider-color) !important; outline-offset: 2px; }}

@media (max-width: 640px) {{
  .gradio-container > .main {{ padding: 12px 10px 32px !important; }}
  .gl-card {{ padding: 12px; }}
  .gl-facts {{ grid-template-columns: repeat(2, 1fr); }}
  .gl-title {{ margin-left: 0; }}
  .gl-grid .gl-labels {{ max-width: 62px; font-size: .7rem; }}
  .gl-plot-head small {{ min-height: 0; }}
  #empty {{ min-height: 0; }}
  #run:has(#state) {{ order: -1; }} /* a run that is open comes before the form */
}}
"""
