// Drives JavaScript clients of OpenAI's API at the wish of a test: a JSON command a line in, a JSON result a line out.
//
//   {"client": "openai" | "openai-stream" | "ai-openai" | "ai-compatible", "baseURL", "stream", "body"}
//
// A result holds what the client made of the answer; {"error": {...}} if it raised.

import { createInterface } from "node:readline";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import OpenAI from "openai";

const KEY = { apiKey: "unused" };

// One answer of OpenAI's own client: its text and its sound, joined as a caller would.
async function openai({ baseURL, stream, body }) {
  const client = new OpenAI({ ...KEY, baseURL, maxRetries: 0 });
  const found = { text: "", transcript: "", words: [], data: "", finish: null };
  const answer = await client.chat.completions.create({ ...body, stream });
  for await (const chunk of stream ? answer : [answer]) {
    for (const choice of chunk.choices) {
      const part = choice.delta ?? choice.message;
      found.text += part.content ?? "";
      found.transcript += part.audio?.transcript ?? "";
      found.words.push(...(part.audio?.words ?? []));
      found.data += part.audio?.data ?? "";
      found.finish = choice.finish_reason ?? found.finish;
    }
  }
  return found;
}

// The helper that puts a streamed answer together.
async function openaiStream({ baseURL, body }) {
  const client = new OpenAI({ ...KEY, baseURL, maxRetries: 0 });
  const stream = client.chat.completions.stream({ ...body });
  const [choice] = (await stream.finalChatCompletion()).choices;
  return { text: choice.message.content ?? "", finish: choice.finish_reason };
}

// Vercel's AI SDK, which has words only.
async function vercel(model, { stream, body }) {
  const wanted = { model, messages: body.messages, maxRetries: 0 };
  if (!stream) {
    const { text, finishReason } = await generateText(wanted);
    return { text, finish: finishReason };
  }
  const found = { text: "", finish: null };
  for await (const part of streamText({ ...wanted, onError() {} }).fullStream) {
    if (part.type === "error") throw part.error;
    if (part.type === "text-delta") found.text += part.text;
    if (part.type === "finish") found.finish = part.finishReason;
  }
  return found;
}

const CLIENTS = {
  openai,
  "openai-stream": openaiStream,
  "ai-openai": (wish) => vercel(createOpenAI({ ...KEY, baseURL: wish.baseURL }).chat(wish.body.model), wish),
  "ai-compatible": (wish) =>
    vercel(createOpenAICompatible({ ...KEY, name: "parley", baseURL: wish.baseURL })(wish.body.model), wish),
};

for await (const line of createInterface({ input: process.stdin })) {
  const wish = JSON.parse(line);
  let result;
  try {
    result = await CLIENTS[wish.client](wish);
  } catch (error) {
    result = { error: { name: error.name, message: error.message, status: error.status ?? error.statusCode ?? null } };
  }
  process.stdout.write(JSON.stringify(result) + "\n");
}
