"""Whose fault a refusal is: the messages are those of real upstreams."""

import pytest

from parley.errors import ErrorWords, Fault
from parley.upstream.operator_faults import fault_of

MODEL = [
    "The model `gpt-5` does not exist or you do not have access to it.",
    "The model `llama3-70b` has been decommissioned and is no longer supported. Please refer to https://console.groq.com",
    "Invalid model: mistral-x",
    "m is not a valid model ID",
    "Model Not Exist",
    "Invalid model 'm'. Permitted models can be found in the documentation",
    "The provided model identifier is invalid.",
    "This model version has reached the end of its life.",
    "models/gemini-pro is not found for API version v1beta, or is not supported for generateContent.",
    "Not found the model m or Permission denied",
    "Model does not exist. Please check it carefully.",
    "/chat/completions: Invalid model name passed in model=m. Call `/v1/models` to view available models for your key.",
    "Unknown model: m",
    "The requested model 'm' is not supported by any provider you have enabled.",
    "LLM Provider NOT provided. Pass in the LLM provider you are trying to call. You passed model=m",
    "The requested model is invalid or no longer supported",
    "model 'command-x' was removed on 2025-09-15.",
    'model "llama9" not found, try pulling it first',
    "m is not a chat model and thus not supported in the v1/chat/completions endpoint.",
    "Model gpt-4-32k has been retired",
    "No endpoints found for foo/bar.",
    "You do not have access to the requested model",
    "The engine davinci was discontinued",
    "Requested model 'm' is currently unavailable",
    "Failed to load model 'm'",
    "you must provide a model parameter",
    "No models loaded. Please load a model in the developer page or use the 'lms load' command.",
    "Invocation of model ID m with on-demand throughput isn't supported.",
    "Function '1234': Not found for account 'abc'",
    "There are no healthy deployments for this model",
    "The chatCompletion operation does not work with the specified model, m. Please choose different model.",
    "模型不存在，请检查模型代码。",
]
CALLERS = [
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
    "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
    "Invalid value: 'robot'. Supported values are: 'system', 'assistant', and 'user'.",
    "The response was filtered due to the prompt triggering the content management policy",
    "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
    "Model m does not support tools",
    "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
    "An assistant message with 'tool_calls' must be followed by tool messages",
    "Invalid 'tools[0].function.name': string does not match pattern",
    "Invalid parameter: 'tool_call_id' of 'x' not found in 'tool_calls' of previous message.",
    "Conversation roles must alternate user/assistant",
    "reasoning_effort is not supported for this model",
]
CODES: list[tuple[str, Fault]] = [
    ("model_not_found", "model"),
    ("model_decommissioned", "model"),
    ("MODEL_DEPRECATED", "model"),
    ("model_retired", "model"),
    ("unknown_model", "model"),
    ("model_not_supported", "model"),
    ("DeploymentNotFound", "model"),
    ("InvalidEndpointOrModel.NotFound", "model"),
    ("5007", "model"),
    ("invalid_api_key", "key"),
    ("API_KEY_INVALID", "key"),
    ("insufficient_quota", "credit"),
    ("billing_hard_limit_reached", "credit"),
    ("Arrearage", "credit"),
]
ACCOUNT: list[tuple[int, str, Fault | None]] = [
    (400, "API key not valid. Please pass a valid API key.", "key"),
    (400, "Incorrect API key provided: ab***yz", "key"),
    (400, "Your credit balance is too low to access the API.", "credit"),
    (429, "Your account is suspended, please check your plan: insufficient balance", "credit"),
    (400, "No auth credentials found", "key"),
    (400, "invalid x-api-key", "key"),
    (400, "Sorry, your account balance is insufficient", "credit"),
    (400, "Budget has been exceeded! Current cost: 10.5, Max budget: 10.0", "credit"),
    (400, "Organization has been restricted. Please reach out to support.", "credit"),
    (400, "Your organization must be verified to stream this model.", "credit"),
    (400, "User location is not supported for the API use.", "credit"),
    (400, "Your subscription has expired", "credit"),
    (429, "You exceeded your current quota: requests per minute", None),
    (400, "max_tokens exceeds the limit", None),
    (429, "Rate limit reached for m in organization o on tokens per min (TPM)", None),
    (401, "anything", "key"),
    (403, "anything", "key"),
    (402, "anything", "credit"),
    (500, "The model does not exist", None),
]


@pytest.mark.row("RA-03")
@pytest.mark.parametrize("status", [400, 404, 410, 422])
@pytest.mark.parametrize("message", MODEL)
def test_a_missing_model_is_the_operators(message: str, status: int) -> None:
    assert fault_of(status, ErrorWords(message)) == "model"
    assert fault_of(status, ErrorWords(message.upper())) == "model"


@pytest.mark.row("RA-03")
@pytest.mark.parametrize("message", CALLERS)
def test_what_is_asked_of_a_model_is_the_callers(message: str) -> None:
    assert fault_of(400, ErrorWords(message)) is fault_of(422, ErrorWords(message)) is None


@pytest.mark.row("RA-03")
@pytest.mark.parametrize(("code", "fault"), CODES)
def test_a_code_or_type_tells_a_fault(code: str, fault: Fault) -> None:
    assert fault_of(400, ErrorWords("no", code=code)) == fault_of(400, ErrorWords("no", type=code)) == fault


@pytest.mark.row("RA-03")
@pytest.mark.parametrize(("status", "message", "fault"), ACCOUNT)
def test_keys_and_credit_are_the_operators(status: int, message: str, fault: Fault | None) -> None:
    assert fault_of(status, ErrorWords(message)) == fault


def test_the_field_at_fault_may_be_the_model() -> None:
    assert fault_of(400, ErrorWords("no", param="model")) == "model"
    assert fault_of(400, ErrorWords("no", param="messages")) is None
    assert fault_of(400, ErrorWords("'x' is not supported with this model", param="model")) is None
