"""ganlab: a laboratory for generative adversarial networks, in the browser and in the shell.

To read it, start with `config` (what a run can be told), then `data.dataset`, `models.generator`,
`losses`, `training` (the loop), `transfer` (what trains when), `blending`, `runs` (a run on disk),
`jobs` (the queue) and `ui.layout`.
"""

__version__ = "0.1.0"
