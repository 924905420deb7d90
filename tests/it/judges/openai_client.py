"""The openai package against the mocks: tool loops on both wire APIs through every provider it knows, and
what it makes of failures.

Usage: openai_client.py http://127.0.0.1:PORT. Prints one JSON object: what it saw, by client.
"""

import asyncio
import json
import os
import sys

for name in [name for name in os.environ if name.startswith(("AWS", "OPENAI", "AZURE"))]:
    del os.environ[name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

import openai
from openai import AsyncBedrockOpenAI, AsyncOpenAI, AzureOpenAI, BedrockOpenAI, OpenAI

ORIGIN = sys.argv[1]
MANTLE = f"{ORIGIN}/bedrock-mantle/us-east-1/openai/v1"
RUNTIME = f"{ORIGIN}/bedrock-runtime/us-east-1/openai/v1"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"],
          "additionalProperties": False}
FLAT = [{"type": "function", "name": "get_weather", "description": "Weather.", "parameters": SCHEMA, "strict": True}]
NESTED = [{"type": "function", "function": {
    "name": "get_weather", "description": "Weather.", "parameters": SCHEMA, "strict": True}}]


def bearer(who):
    return f"sameturn-mock-bearer-{who}"


def keys(who, kind="AKID", token=False):
    found = {"aws_access_key_id": f"{kind}SAMETURNMOCK{who.upper()}",
             "aws_secret_access_key": f"sameturn-mock-secret-of-{who}-not-a-real-key"}
    if token:
        found["aws_session_token"] = f"sameturn-mock-session-token-of-{who}"
    return found


def bedrock(kind=BedrockOpenAI, base=MANTLE, **sign_in):
    return kind(base_url=base, aws_region="us-east-1", max_retries=0, **sign_in)


def direct(who="default", prefix=""):
    return OpenAI(base_url=f"{ORIGIN}{prefix}/openai/v1", api_key=bearer(who), max_retries=0)


def answered(response):
    """The response as kinds of items, and what to send back to its calls."""
    calls = [item for item in response.output if item.type == "function_call"]
    for call in calls:
        assert isinstance(json.loads(call.arguments)["city"], str), call.arguments
    used = response.usage
    assert used.input_tokens > 0 and used.total_tokens == used.input_tokens + used.output_tokens, used
    results = [{"type": "function_call_output", "call_id": call.call_id, "output": "rain"} for call in calls]
    return [item.type for item in response.output] + [response.status], list(response.output) + results, bool(calls)


async def soon(value):
    return await value if hasattr(value, "__await__") else value


async def assembled(stream):
    """What the package's own stream helper puts together, which must be what the deltas say."""
    text, final = "", None
    if hasattr(stream, "__aenter__"):
        async with stream as events:
            async for event in events:
                text += event.delta if event.type == "response.output_text.delta" else ""
            final = await events.get_final_response()
    else:
        with stream as events:
            for event in events:
                text += event.delta if event.type == "response.output_text.delta" else ""
            final = events.get_final_response()
    assert text == final.output_text, (text, final.output_text)
    return final


async def responses(client, model, stream):
    history, kinds = [{"role": "user", "content": "Weather in Dublin?"}], []
    for _ in range(4):
        request = dict(model=model, input=history, tools=FLAT, store=False, include=["reasoning.encrypted_content"])
        if stream:
            answer = await assembled(client.responses.stream(**request))
        else:
            answer = await soon(client.responses.create(**request))
        kind, more, again = answered(answer)
        kinds.append(kind)
        # The helper adds fields of its own; a client sends back what the wire said.
        history += [item if isinstance(item, dict) else item.model_dump(
            exclude_none=True, exclude={"parsed_arguments", "status"} if item.type != "message" else {"status"})
            for item in more]
        for item in history:
            for part in item.get("content") or [] if isinstance(item.get("content"), list) else []:
                part.pop("parsed", None)
        if not again:
            break
    return kinds


def chat(client, model, stream):
    messages, kinds = [{"role": "user", "content": "Weather in Dublin?"}], []
    for _ in range(4):
        request = dict(model=model, messages=messages, tools=NESTED)
        if stream:
            with client.chat.completions.stream(**request, stream_options={"include_usage": True}) as events:
                for _ in events:
                    pass
                answer = events.get_final_completion()
        else:
            answer = client.chat.completions.create(**request)
        choice = answer.choices[0]
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
        calls = choice.message.tool_calls or []
        kinds.append([call.function.name for call in calls] + [choice.finish_reason])
        if not calls:
            assert choice.message.content
            break
        messages.append({"role": "assistant", "tool_calls": [
            {"id": call.id, "type": "function",
             "function": {"name": call.function.name, "arguments": call.function.arguments}} for call in calls]})
        for call in calls:
            assert isinstance(json.loads(call.function.arguments)["city"], str)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": "rain"})
    return kinds


def refused(client, model="openai.gpt-5.5", stream=False):
    try:
        answer = client.responses.create(model=model, input="hello", stream=stream)
        if stream:
            kinds = [event.type for event in answer]
            return ["not noticed", None, kinds[-1]]
        return ["not noticed", None, answer.status]
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code]
    except openai.OpenAIError as error:
        return [type(error).__name__, None, None]


async def main():
    azure = AzureOpenAI(azure_endpoint=f"{ORIGIN}/azure-openai", api_key=bearer("default"),
                        api_version="2025-04-01-preview", max_retries=0)
    clients = {
        "openai": (direct(), "gpt-5.5"),
        "openai async": (AsyncOpenAI(base_url=f"{ORIGIN}/openai/v1", api_key=bearer("default")), "gpt-5.5"),
        "azure": (azure, "gpt-5.5"),
        "mantle bearer": (bedrock(api_key=bearer("default")), "openai.gpt-5.5"),
        "mantle keys": (bedrock(**keys("default")), "openai.gpt-5.5"),
        "mantle session": (bedrock(**keys("temporary", "ASIA", True)), "openai.gpt-5.5"),
        "mantle async bearer": (bedrock(AsyncBedrockOpenAI, api_key=bearer("default")), "openai.gpt-5.5"),
        "mantle async keys": (bedrock(AsyncBedrockOpenAI, **keys("default")), "openai.gpt-5.5"),
        "runtime bearer": (bedrock(base=RUNTIME, api_key=bearer("default")), "us.openai.gpt-5.6-sol"),
    }
    seen = {"responses": {}, "chat": {}}
    for name, (client, model) in clients.items():
        seen["responses"][name] = [await responses(client, model, stream) for stream in [False, True]]
    for name in ["openai", "azure", "mantle bearer", "mantle session"]:
        client, model = clients[name]
        seen["chat"][name] = [chat(client, model, stream) for stream in [False, True]]
    at_fault = lambda name: bedrock(base=f"{ORIGIN}/fault/{name}/bedrock-mantle/us-east-1/openai/v1",
                                    api_key=bearer("default"))
    seen["refused"] = {
        "denied bearer": refused(bedrock(api_key=bearer("denied"))),
        "denied keys": refused(bedrock(**keys("denied"))),
        "expired bearer": refused(bedrock(api_key=bearer("expired"))),
        "expired keys": refused(bedrock(**keys("expired", "ASIA", True))),
        "wrong secret": refused(bedrock(aws_access_key_id="AKIDSAMETURNMOCKDEFAULT", aws_secret_access_key="wrong")),
        "absent session token": refused(bedrock(**keys("temporary", "ASIA"))),
        "unknown key": refused(bedrock(api_key="nobody's")),
        "unknown model": refused(bedrock(api_key=bearer("default")), "openai.gpt-0"),
        "throttled": refused(at_fault("throttled"), stream=True),
        "dropped": refused(at_fault("drop-mid-stream"), stream=True),
        "openai unknown key": refused(direct("nobody"), "gpt-5.5"),
        "openai unknown model": refused(direct(), "gpt-0"),
        # No exception: a stream without its end passes for a short answer. Why this program looks for it.
        "truncated": refused(at_fault("terminal-missing"), stream=True),
        "failed": refused(at_fault("response-failed"), stream=True),
    }
    print(json.dumps(seen))


asyncio.run(main())
