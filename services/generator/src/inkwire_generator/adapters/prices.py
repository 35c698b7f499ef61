"""Prices of models, from the data that genai-prices bundles; nothing is fetched."""

from decimal import Decimal

from genai_prices import Usage, calc_price

PRICE_DIGITS = 9
"""A single short answer costs some millionths of a dollar, and many are added up."""


class BundledPrices:
    """See :class:`inkwire_generator.ports.Prices`. ``simulated`` models cost nothing and have no price."""

    def __init__(self, *, simulated: bool = False) -> None:
        self._simulated = simulated

    def cost_usd(self, model: str, tokens_in: int, tokens_out: int) -> float | None:
        if self._simulated:
            return None
        try:
            price = calc_price(Usage(input_tokens=tokens_in, output_tokens=tokens_out), model).total_price
        except (LookupError, ValueError):
            return None
        return float(round(Decimal(price), PRICE_DIGITS))
