"""From lineart to regions: trapped balls, waists, floods."""
