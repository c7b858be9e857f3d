"""Agents: profiles of the operator's, each with a prompt, a model, tools, knowledge and manners of its own."""
