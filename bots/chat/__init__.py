"""Chat without a platform: messages and cards, commands and buttons, forms, languages."""
