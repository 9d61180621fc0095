"""One file per table or figure: experiments are data. `registry` finds them, `resolve` makes trials of them."""
