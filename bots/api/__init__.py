"""The front end for programs: the wires of OpenAI and Anthropic, on people's Credits."""
