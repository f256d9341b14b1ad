"""The pure model: resources, values, statuses, changes. Imports nothing that acts."""
