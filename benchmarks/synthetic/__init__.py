"""The nano models: their tokenizer, their corpus, and their pretraining."""
