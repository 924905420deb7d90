"""boto3 against the mocked Bedrock Runtime: Converse and InvokeModel, guardrails, ARNs, and failures by their names.

Usage: converse.py http://127.0.0.1:PORT. Prints one JSON object; asserts what boto3 itself must see.
"""

import json
import os
import sys

for name in [name for name in os.environ if name.startswith("AWS")]:
    del os.environ[name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ORIGIN = sys.argv[1]
MODEL = "us.openai.gpt-5.6-sol"
TOOLS = {"tools": [{"toolSpec": {"name": "get_weather", "description": "Weather.", "inputSchema": {"json": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}}]}


def client(who="default", token=None, key="AKID", prefix=""):
    return boto3.session.Session().client(
        "bedrock-runtime", region_name="us-east-1",
        endpoint_url=f"{ORIGIN}{prefix}/bedrock-runtime/us-east-1",
        config=Config(retries={"total_max_attempts": 1}),
        aws_access_key_id=f"{key}SAMETURNMOCK{who.upper()}",
        aws_secret_access_key=f"sameturn-mock-secret-of-{who}-not-a-real-key",
        aws_session_token=token)


def streamed(answer):
    blocks, stop = {}, None
    for event in answer["stream"]:
        (kind, value), = event.items()
        place = value.get("contentBlockIndex")
        if kind == "contentBlockStart":
            blocks[place] = {"toolUse": dict(value["start"]["toolUse"], input="")}
        elif kind == "contentBlockDelta":
            delta = value["delta"]
            if "text" in delta:
                blocks.setdefault(place, {"text": ""})["text"] += delta["text"]
            elif "toolUse" in delta:
                blocks[place]["toolUse"]["input"] += delta["toolUse"]["input"]
            elif "redactedContent" in delta["reasoningContent"]:
                blocks[place] = {"reasoningContent": delta["reasoningContent"]}
            else:
                block = blocks.setdefault(place, {"reasoningContent": {"reasoningText": {"text": ""}}})
                block["reasoningContent"]["reasoningText"]["text"] += delta["reasoningContent"]["text"]
        elif kind == "messageStop":
            stop = value["stopReason"]
    content = [blocks[place] for place in sorted(blocks)]
    for block in content:
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    return content, stop


def loop(model, stream):
    asks = client()
    field = {"reasoning_effort": "low"} if "oss" in model else {"reasoning": {"effort": "low"}}
    messages = [{"role": "user", "content": [{"text": "Weather in Dublin?"}]}]
    kinds = []
    for _ in range(4):
        request = dict(modelId=model, messages=messages, toolConfig=TOOLS, additionalModelRequestFields=field)
        if stream:
            content, stop = streamed(asks.converse_stream(**request))
        else:
            answer = asks.converse(**request)
            content, stop = answer["output"]["message"]["content"], answer["stopReason"]
        kinds.append([next(iter(block)) for block in content] + [stop])
        messages.append({"role": "assistant", "content": content})
        if stop != "tool_use":
            break
        messages.append({"role": "user", "content": [
            {"toolResult": {"toolUseId": block["toolUse"]["toolUseId"], "content": [{"json": {"temp_c": 11}}]}}
            for block in content if "toolUse" in block]})
    return kinds


def refused(asks, stream=False, **changes):
    request = dict(modelId=MODEL, messages=[{"role": "user", "content": [{"text": "How are you, all of you?"}]}])
    request.update(changes)
    try:
        if stream:
            list(asks.converse_stream(**request)["stream"])
        else:
            asks.converse(**request)
        return "not noticed"
    except ClientError as error:
        return error.response["Error"]["Code"]
    except Exception as error:
        return type(error).__name__


OSS = "openai.gpt-oss-120b-1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:"
GUARD = {"guardrailIdentifier": "sameturnguard", "guardrailVersion": "1"}
CHAT_TOOLS = [{"type": "function", "function": dict(
    name="get_weather", description="Weather.", parameters=TOOLS["tools"][0]["toolSpec"]["inputSchema"]["json"])}]


def invoked(asks, stream, body, model=OSS, **more):
    """The text, the calls, the finish reason and the last chunk (or whole body) of InvokeModel."""
    request = dict(modelId=model, body=json.dumps(body), contentType="application/json", accept="application/json")
    request.update(more)
    if not stream:
        answer = asks.invoke_model(**request)
        whole = json.loads(answer["body"].read())
        message, = [choice["message"] for choice in whole["choices"]]
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        assert int(headers["x-amzn-bedrock-output-token-count"]) == whole["usage"]["completion_tokens"]
        calls = [call["function"] for call in message.get("tool_calls", [])]
        return message["content"], calls, whole["choices"][0]["finish_reason"], whole
    text, calls, finish, last = "", {}, None, {}
    answer = asks.invoke_model_with_response_stream(**request)
    assert answer["contentType"] == "application/json"
    for event in answer["body"]:
        last = json.loads(event["chunk"]["bytes"])
        for choice in last["choices"]:
            text += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls", []):
                known = calls.setdefault(call["index"], {"name": "", "arguments": ""})
                for key, value in call["function"].items():
                    known[key] += value
            finish = choice["finish_reason"] or finish
    return text, list(calls.values()), finish, last


def invoke_loop(stream):
    asks = client()
    messages = [{"role": "user", "content": "Weather in Dublin?"}]
    body = {"messages": messages, "tools": CHAT_TOOLS, "max_completion_tokens": 300}
    if stream:
        body.update(stream=True, stream_options={"include_usage": True})
    text, calls, finish, last = invoked(asks, stream, body)
    thought = text.startswith("<reasoning>")
    assert json.loads(calls[0]["arguments"])["city"]
    metrics = last.get("amazon-bedrock-invocationMetrics", {})
    usage = last["usage"]
    assert not stream or metrics["inputTokenCount"] == usage["prompt_tokens"]
    messages.append({"role": "assistant", "content": text, "tool_calls": [
        {"id": "call_1", "type": "function", "function": calls[0]}]})
    messages.append({"role": "tool", "tool_call_id": "call_1", "content": "11 degrees"})
    text, calls, again, _ = invoked(asks, stream, body)
    return [thought, finish, "11 degrees" in text, again]


def invoke_refused(asks, stream=False, **changes):
    request = dict(modelId=OSS, body=json.dumps({"messages": [{"role": "user", "content": "How are you, all of you?"}]}))
    request.update(changes)
    try:
        if stream:
            list(asks.invoke_model_with_response_stream(**request)["body"])
        else:
            asks.invoke_model(**request)
        return "not noticed"
    except ClientError as error:
        return error.response["Error"]["Code"]
    except Exception as error:
        return type(error).__name__


def guarded(words, stream, **more):
    config = dict(GUARD, trace="enabled")
    request = dict(modelId=MODEL, messages=[{"role": "user", "content": [{"text": words}]}], guardrailConfig=config)
    if not stream:
        answer = client().converse(**request)
        return answer["stopReason"], answer.get("trace", {}).get("guardrail", {}).get("inputAssessment") is not None
    stop, found = None, False
    request["guardrailConfig"]["streamProcessingMode"] = "sync"
    for event in client().converse_stream(**request)["stream"]:
        stop = event.get("messageStop", {}).get("stopReason", stop)
        found |= "inputAssessment" in event.get("metadata", {}).get("trace", {}).get("guardrail", {})
    return stop, found


def invoke_guarded(words, stream):
    body = {"messages": [{"role": "user", "content": words}]}
    text, _, _, last = invoked(client(), stream, body, trace="ENABLED", **GUARD)
    return last["amazon-bedrock-guardrailAction"], "amazon-bedrock-trace" in last


def arn(model, stream=False):
    return refused(client(), stream=stream, modelId=ARN + model)


BAD, GOOD = "Say sameturn-forbidden-word.", "Say something else."
print(json.dumps({
    "loops": [loop(model, stream) for model in [MODEL, "openai.gpt-oss-120b-1:0"] for stream in [False, True]],
    "denied": refused(client("denied")),
    "denied_stream": refused(client("denied"), stream=True),
    "expired": refused(client("expired", "sameturn-mock-session-token-of-expired", "ASIA")),
    "unknown_key": refused(client("nobody")),
    "bare_id": refused(client(), modelId="openai.gpt-5.6-sol"),
    "effort": refused(client(), additionalModelRequestFields={"reasoningConfig": {"type": "enabled"}}),
    "throttled": refused(client(prefix="/fault/throttled"), stream=True),
    "failed": refused(client(prefix="/fault/response-failed"), stream=True),
    "crc": refused(client(prefix="/fault/converse-message-crc"), stream=True),
    "truncated": refused(client(prefix="/fault/converse-truncated-mid-frame"), stream=True),
    "invoke_loops": [invoke_loop(stream) for stream in [False, True]],
    "invoke_denied": invoke_refused(client("denied")),
    "invoke_denied_stream": invoke_refused(client("denied"), stream=True),
    "invoke_expired": invoke_refused(client("expired", "sameturn-mock-session-token-of-expired", "ASIA")),
    "invoke_expired_stream": invoke_refused(
        client("expired", "sameturn-mock-session-token-of-expired", "ASIA"), stream=True),
    "invoke_gpt": invoke_refused(client(), modelId=MODEL),
    "invoke_other_stream": invoke_refused(client(), body=json.dumps({"messages": [], "stream": True})),
    "invoke_throttled": invoke_refused(client(prefix="/fault/throttled"), stream=True),
    "invoke_failed": invoke_refused(client(prefix="/fault/response-failed"), stream=True),
    "invoke_crc": invoke_refused(client(prefix="/fault/invoke-message-crc"), stream=True),
    "invoke_truncated": invoke_refused(client(prefix="/fault/invoke-truncated-mid-frame"), stream=True),
    "guarded": [guarded(words, stream) for words in [BAD, GOOD] for stream in [False, True]],
    "invoke_guarded": [invoke_guarded(words, stream) for words in [BAD, GOOD] for stream in [False, True]],
    "no_such_guardrail": refused(client(), guardrailConfig=dict(GUARD, guardrailVersion="7")),
    "arns": [arn(model, stream) for stream in [False, True] for model in [
        "inference-profile/us.openai.gpt-5.6-sol", "application-inference-profile/sameturnsol1"]],
    "unknown_arn": arn("application-inference-profile/nobody1"),
    "invoke_arn": invoke_refused(client(), modelId=ARN + "application-inference-profile/sameturnoss1"),
}))
