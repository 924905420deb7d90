"""boto3 signs in through the mocked SSO portal, SSO-OIDC and STS, in every way and with every failure.

    python3 -m venv /tmp/judge && /tmp/judge/bin/pip install boto3
    sameturn mock --port 8642 &
    /tmp/judge/bin/python tests/it/judges/sign_in.py http://127.0.0.1:8642

Prints boto3's own name for each case, and fails where it is another than expected. These names are the
column `boto3` of docs/aws-credentials.md.
"""

import datetime
import hashlib
import json
import os
import pathlib
import shutil
import sys
import tempfile

# botocore looks once, when it is imported, where the token cache is.
HOME = tempfile.mkdtemp()
os.environ["HOME"] = HOME

import boto3
import botocore.exceptions

MOCK = sys.argv[1].rstrip("/")
START = "https://sameturn.invalid/start"
CONFIG = """
[profile sso]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Developer
[profile sso-other-role]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Nobody
[sso-session corp]
sso_start_url = https://sameturn.invalid/start
sso_region = us-east-1
[profile legacy]
sso_start_url = https://sameturn.invalid/start
sso_region = us-east-1
sso_account_id = 123456789012
sso_role_name = Developer
[profile base]
aws_access_key_id = AKIDSAMETURNMOCKDEFAULT
aws_secret_access_key = sameturn-mock-secret-of-default-not-a-real-key
[profile ended]
aws_access_key_id = ASIASAMETURNMOCKEXPIRED
aws_secret_access_key = sameturn-mock-secret-of-expired-not-a-real-key
aws_session_token = sameturn-mock-session-token-of-expired
[profile unknown-key]
aws_access_key_id = AKIDNOBODY
aws_secret_access_key = nobody
[profile wrong-secret]
aws_access_key_id = AKIDSAMETURNMOCKDEFAULT
aws_secret_access_key = wrong
[profile role]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
source_profile = base
[profile role-closed]
role_arn = arn:aws:iam::123456789012:role/SameturnMockClosed
source_profile = base
[profile role-by-ended]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
source_profile = ended
[profile role-by-unknown]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
source_profile = unknown-key
[profile role-by-wrong]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
source_profile = wrong-secret
[profile role-without-source]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
source_profile = nobody
[profile web]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
web_identity_token_file = HOME/jwt
[profile web-missing]
role_arn = arn:aws:iam::123456789012:role/SameturnMock
web_identity_token_file = HOME/no-jwt
[profile process-fails]
credential_process = sh -c 'echo no >&2; exit 3'
[profile process-missing]
credential_process = /no/such/program
[profile process-rubbish]
credential_process = echo rubbish
[profile process-expired]
credential_process = cat HOME/expired.json
[profile empty]
region = us-east-1
"""
NOW = datetime.datetime.now(datetime.timezone.utc)


def stamp(hours):
    return (NOW + datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def session_token(hours, token, refresh=None):
    cached = {"startUrl": START, "region": "us-east-1", "accessToken": token, "expiresAt": stamp(hours)}
    if refresh:
        cached |= {
            "refreshToken": refresh,
            "clientId": "sameturn-mock-sso-client",
            "clientSecret": "sameturn-mock-sso-client-secret",
            "registrationExpiresAt": stamp(500),
        }
    return cached


LIVE = session_token(4, "sameturn-mock-sso-token")
# profile, cached token, web identity, faults by service, what comes of it
CASES = [
    ("base", None, "", {}, "AKIDSAMETURNMOCKDEFAULT"),
    ("sso", LIVE, "", {}, "ASIASAMETURNMOCKTEMPORARY"),
    ("legacy", LIVE, "", {}, "ASIASAMETURNMOCKTEMPORARY"),
    ("sso", session_token(-1, "old", "sameturn-mock-sso-refresh"), "", {}, "ASIASAMETURNMOCKTEMPORARY"),
    ("role", None, "", {}, "ASIASAMETURNMOCKTEMPORARY"),
    ("web", None, "sameturn-mock-web-identity", {}, "ASIASAMETURNMOCKTEMPORARY"),
    ("sso", None, "", {}, "SSOTokenLoadError"),
    ("legacy", None, "", {}, "SSOTokenLoadError"),
    ("sso", session_token(-1, "old"), "", {}, "TokenRetrievalError"),
    ("legacy", session_token(-1, "old"), "", {}, "UnauthorizedSSOTokenError"),
    ("sso", session_token(-1, "old", "used-up"), "", {}, "TokenRetrievalError"),
    ("sso", session_token(4, "sameturn-mock-sso-token-ended"), "", {}, "UnauthorizedSSOTokenError"),
    ("sso", LIVE, "", {"sso": "expired"}, "UnauthorizedSSOTokenError"),
    ("sso-other-role", LIVE, "", {}, "ClientError ForbiddenException"),
    ("sso", LIVE, "", {"sso": "server-error"}, "ClientError 500"),
    ("role-closed", None, "", {}, "ClientError AccessDenied"),
    ("role-by-ended", None, "", {}, "ClientError ExpiredToken"),
    ("role-by-unknown", None, "", {}, "ClientError InvalidClientTokenId"),
    ("role-by-wrong", None, "", {}, "ClientError SignatureDoesNotMatch"),
    ("role", None, "", {"sts": "clock-skew"}, "ClientError SignatureDoesNotMatch"),
    ("role-without-source", None, "", {}, "InvalidConfigError"),
    ("web", None, "sameturn-mock-web-identity-ended", {}, "ExpiredTokenException"),
    ("web", None, "rubbish", {}, "InvalidIdentityTokenException"),
    ("web-missing", None, "", {}, "FileNotFoundError"),
    ("process-fails", None, "", {}, "CredentialRetrievalError"),
    ("process-missing", None, "", {}, "FileNotFoundError"),
    ("process-rubbish", None, "", {}, "JSONDecodeError"),
    ("process-expired", None, "", {}, "RuntimeError"),
    ("gone", None, "", {}, "ProfileNotFound"),
    ("empty", None, "", {}, "no credentials"),
]


def outcome(profile, cached, web, faults):
    home = HOME
    shutil.rmtree(home)
    aws = pathlib.Path(home, ".aws")
    (aws / "sso/cache").mkdir(parents=True)
    (aws / "config").write_text(CONFIG.replace("HOME", home))
    pathlib.Path(home, "jwt").write_text(web)
    pathlib.Path(home, "expired.json").write_text(
        json.dumps({"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "Expiration": stamp(-1)})
    )
    for key in ("corp", START):
        if cached:
            name = hashlib.sha1(key.encode()).hexdigest()
            (aws / f"sso/cache/{name}.json").write_text(json.dumps(cached))
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {"HOME": home, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    os.environ |= {"AWS_MAX_ATTEMPTS": "1"}
    for service in ("sso", "sso-oidc", "sts"):
        fault = f"/fault/{faults[service]}" if service in faults else ""
        name = "AWS_ENDPOINT_URL_" + service.replace("-", "_").upper()
        os.environ[name] = f"{MOCK}{fault}/aws/{service}"
    try:
        session = boto3.Session(profile_name=profile)
        found = session.get_credentials()
        if found is None:
            return "no credentials", ""
        key = found.get_frozen_credentials().access_key
        who = session.client("sts").get_caller_identity()["Arn"]
        assert ":assumed-role/SameturnMock/" in who, who
        return key, who
    except botocore.exceptions.ClientError as error:
        name = type(error).__name__
        if name == "ClientError":
            name += " " + error.response["Error"]["Code"]
        return name, str(error)
    except Exception as error:
        return type(error).__name__, str(error)


wrong = 0
for profile, cached, web, faults, expected in CASES:
    found, words = outcome(profile, cached, web, faults)
    mark = "ok   " if found == expected else "WRONG"
    wrong += found != expected
    words = " ".join(words.split())
    print(f"{mark} {profile:20} {json.dumps(faults) if faults else '':24} {found:36} {words[:110]}")
shutil.rmtree(HOME)
sys.exit(1 if wrong else 0)
