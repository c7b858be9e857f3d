"""Texts to copy into a voice platform, or into a program, so that it asks Parley.

No text holds a key: `$PARLEY_KEY` stands in its place.
"""

import json
import shlex
from typing import Any, Literal, NamedTuple

KEY = "$PARLEY_KEY"
"""Placeholder of the caller's key, which the person who copies replaces, or the environment gives."""
SECRET_ID = "ID_OF_THE_SECRET"
QUESTION = "When are you open?"


class Snippet(NamedTuple):
    """A text to copy, in which language it is, and where it goes."""

    language: Literal["json", "python", "javascript", "sh"]
    text: str
    where: str


def agora(url: str, endpoint: str, model: str) -> Snippet:
    """Return the part of a join request that concerns the model."""
    llm = {
        "url": url,
        "api_key": KEY,
        "vendor": "custom",
        "style": "openai",
        "params": {"model": model},
        "max_history": 32,
        "output_modalities": ["audio" if endpoint == "audio" else "text"],
        "greeting_message": "Hello! How can I help?",
        "failure_message": "Sorry, please say that again.",
    }
    join = "POST https://api.agora.io/api/conversational-ai-agent/v2/projects/{appid}/join"
    return _json({"properties": {"llm": llm}}, join)


def agora_python(url: str, endpoint: str, model: str) -> Snippet:
    """Return the model of an agent, for Agora's SDK."""
    del endpoint
    text = f"""\
import os

from agora_agent import CustomLLM

llm = CustomLLM(
    api_key=os.environ["PARLEY_KEY"],
    base_url={_quoted(url)},
    model={_quoted(model)},
)"""
    return Snippet("python", text, "where the agent is built: Agent(client=client).with_llm(llm)")


def vapi(url: str, endpoint: str, model: str) -> Snippet:
    """Return the model of an assistant."""
    del endpoint
    options = {"metadataSendMode": "off", "timeoutSeconds": 20}
    content = {"model": {"provider": "custom-llm", "url": url, "model": model, **options}}
    return _json(content, "POST https://api.vapi.ai/assistant, or PATCH https://api.vapi.ai/assistant/{id}")


def elevenlabs(url: str, endpoint: str, model: str) -> Snippet:
    """Return the prompt of an agent."""
    del endpoint
    custom = {"url": url, "model_id": model, "api_key": {"secret_id": SECRET_ID}, "api_type": "chat_completions"}
    prompt = {"llm": "custom-llm", "custom_llm": custom}
    where = "PATCH https://api.elevenlabs.io/v1/convai/agents/{agent_id}"
    return _json({"conversation_config": {"agent": {"prompt": prompt}}}, where)


def livekit(url: str, endpoint: str, model: str) -> Snippet:
    """Return the model of an agent session."""
    del endpoint
    text = f"""\
import os

from livekit.plugins import openai

llm = openai.LLM(
    base_url={_quoted(url)},
    api_key=os.environ["PARLEY_KEY"],
    model={_quoted(model)},
)"""
    return Snippet("python", text, "where the session is made: AgentSession(llm=llm, ...)")


def pipecat(url: str, endpoint: str, model: str) -> Snippet:
    """Return the service of a pipeline."""
    del endpoint
    text = f"""\
import os

from pipecat.services.openai.llm import OpenAILLMService

llm = OpenAILLMService(
    base_url={_quoted(url)},
    api_key=os.environ["PARLEY_KEY"],
    model={_quoted(model)},
)"""
    return Snippet("python", text, "in the pipeline, between the user's and the assistant's context")


def hume(url: str, endpoint: str, model: str) -> Snippet:
    """Return the language model of a configuration; it names none to the server."""
    del endpoint
    content = {"language_model": {"model_provider": "CUSTOM_LANGUAGE_MODEL", "model_resource": url}}
    del model
    where = "POST https://api.hume.ai/v0/evi/configs; the key goes into the session settings (language_model_api_key)"
    return _json(content, where)


def deepgram(url: str, endpoint: str, model: str) -> Snippet:
    """Return the thinking part of an agent's settings."""
    del endpoint
    headers = {"authorization": f"Bearer {KEY}"}
    think = {"provider": {"type": "open_ai", "model": model}, "endpoint": {"url": url, "headers": headers}}
    return _json({"agent": {"think": think}}, "in the Settings message of the agent's websocket")


def cartesia(url: str, endpoint: str, model: str) -> Snippet:
    """Return the model of an agent."""
    del endpoint
    token = {"type": "secret", "secret_value": KEY, "secret_description": "Parley"}
    custom = {"url": url, "model_id": model, "authentication": {"mode": "bearer", "token": token}}
    content = {"config": {"model": {"id": "custom_llm", "custom_llm": custom}}}
    return _json(content, "POST https://api.cartesia.ai/v1/agents, with the header Cartesia-Version: 2026-08-14")


def assemblyai(url: str, endpoint: str, model: str) -> Snippet:
    """Return the model of an agent."""
    del endpoint
    content = {"llm": [{"base_url": url, "model": model, "api_key": KEY}]}
    return _json(content, "POST https://agents.assemblyai.com/v1/agents")


def openai_python(url: str, endpoint: str, model: str) -> Snippet:
    """Return a program that prints an answer while it comes."""
    shown = "delta.audio" if endpoint == "audio" else "delta.content"
    text = f"""\
import os

from openai import OpenAI

client = OpenAI(base_url={_quoted(url)}, api_key=os.environ["PARLEY_KEY"])
stream = client.chat.completions.create(
    model={_quoted(model)},
    messages=[{{"role": "user", "content": "{QUESTION}"}}],
    stream=True,
)
for chunk in stream:
    for choice in chunk.choices:
        print(getattr(choice.{shown.partition(".")[0]}, "{shown.partition(".")[2]}", None) or "", end="", flush=True)"""
    return Snippet("python", text, "pip install openai")


def openai_node(url: str, endpoint: str, model: str) -> Snippet:
    """Return a program that prints an answer while it comes."""
    shown = "JSON.stringify(choice.delta.audio ?? {})" if endpoint == "audio" else 'choice.delta.content ?? ""'
    text = f"""\
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: {_quoted(url)}, apiKey: process.env.PARLEY_KEY }});
const stream = await client.chat.completions.create({{
  model: {_quoted(model)},
  messages: [{{ role: "user", content: "{QUESTION}" }}],
  stream: true,
}});
for await (const chunk of stream) {{
  for (const choice of chunk.choices) process.stdout.write({shown});
}}"""
    return Snippet("javascript", text, "npm install openai; in a file that ends in .mjs")


def curl(url: str, endpoint: str, model: str) -> Snippet:
    """Return a command that shows each event as it comes."""
    del endpoint
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": QUESTION}], "stream": True})
    text = f"""\
curl -N {shlex.quote(url)} \\
  -H "Authorization: Bearer {KEY}" \\
  -H 'Content-Type: application/json' \\
  -d {shlex.quote(body)}"""
    return Snippet("sh", text, "in a shell in which PARLEY_KEY is set")


def _json(content: Any, where: str) -> Snippet:
    """Return a snippet of JSON."""
    return Snippet("json", json.dumps(content, indent=2, ensure_ascii=False), where)


def _quoted(text: str) -> str:
    """Return a text as a literal of Python and of JavaScript alike."""
    return json.dumps(text)
