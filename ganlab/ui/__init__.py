"""The page. Start reading at `layout`. Nothing outside this folder knows gradio."""
