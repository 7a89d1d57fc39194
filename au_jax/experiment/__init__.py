"""From a config to a finished run: the only reader of configs.

`resolve` turns the config of a stage into the stage, `workdir` keeps a folder to one config,
`recipe` runs the stages in order, and `overrides` sets fields from the command line.
"""
