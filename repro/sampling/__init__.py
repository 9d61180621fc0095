"""Generation: counter-based uniforms and the backends that turn prompt ids into completion ids."""
