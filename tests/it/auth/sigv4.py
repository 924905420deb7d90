"""Recomputes sigv4.json with botocore, an implementation that is not ours.

    python3 -m venv /tmp/botocore && /tmp/botocore/bin/pip install botocore
    /tmp/botocore/bin/python tests/it/auth/sigv4.py > tests/it/auth/sigv4.json

Written with botocore 1.44.5. The keys are the public examples of the AWS documentation.
"""

import datetime
import hashlib
import json

import botocore.auth
import botocore.awsrequest
import botocore.credentials

CASES = [
    dict(name="keys", url="https://bedrock-mantle.us-east-2.api.aws/openai/v1/responses",
         service="bedrock-mantle", region="us-east-2", token=None, headers={},
         body='{"model":"openai.gpt-5.5","input":"ping"}', at="20261121T081500Z"),
    dict(name="session token, x-amz header, UTF-8 body",
         url="https://bedrock-mantle.eu-west-1.api.aws/v1/responses",
         service="bedrock", region="eu-west-1", token="an-example-token/+=",
         headers={"x-amz-custom": "a b"}, body='{"input":"Zürich – 東京 🚀"}', at="20260228T235959Z"),
    dict(name="port, empty body", url="http://127.0.0.1:8437/fault/openai/v1/responses",
         service="bedrock-mantle", region="us-east-1", token=None, headers={}, body="",
         at="20260101T000000Z"),
    dict(name="default port is not signed", url="https://bedrock-mantle.us-east-1.api.aws:443/v1/responses",
         service="bedrock-mantle", region="us-east-1", token=None, headers={}, body="{}",
         at="20260101T000000Z"),
    dict(name="escaped path, query", service="bedrock", region="us-east-1", token=None, headers={},
         url="https://bedrock-runtime.us-east-1.amazonaws.com/model/us.openai.gpt-5.6-sol%3A0/converse-stream?b=2&a=1%202",
         body="{}", at="20260101T000000Z"),
    dict(name="ARN in the path, its slash encoded", service="bedrock", region="us-gov-west-1", token=None, headers={},
         url="https://bedrock-runtime.us-gov-west-1.amazonaws.com/model/arn%3Aaws-us-gov%3Abedrock%3Aus-gov-west-1%3A123456789012%3Aapplication-inference-profile%2Fabc123def456/invoke-with-response-stream",
         body="{}", at="20260101T000000Z"),
]

for case in CASES:
    at = datetime.datetime.strptime(case["at"], "%Y%m%dT%H%M%SZ")
    botocore.auth.get_current_datetime = lambda *_, **__: at
    keys = botocore.credentials.Credentials(
        "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", case["token"])
    body = case["body"].encode()
    headers = {"content-type": "application/json",
               "x-amz-content-sha256": hashlib.sha256(body).hexdigest(), **case["headers"]}
    request = botocore.awsrequest.AWSRequest("POST", case["url"], headers=headers, data=body)
    botocore.auth.SigV4Auth(keys, case["service"], case["region"]).add_auth(request)
    case["authorization"] = request.headers["Authorization"]
print(json.dumps(CASES, indent=1, ensure_ascii=False))
