"""Several answers to each prompt: plain ones, under an instruction for the whole chat, under a preprompt."""
