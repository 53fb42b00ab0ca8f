"""The nano models: their tokenizer, their corpus, and how they are pretrained."""
