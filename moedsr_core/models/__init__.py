"""Models of moving surfaces; :mod:`moedsr_core.models.registry` names them."""
