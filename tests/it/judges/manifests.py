"""Tells what Kubernetes and AWS Batch would refuse in a file of deploy/: a JSON list of complaints, empty where there is none.

Kubernetes by the schemas of its API in kubernetes-validate, Batch by the service model in botocore. No cluster and no account.
Arguments: kubernetes or batch, and the file.
"""

import json
import sys

import yaml


def kubernetes(text):
    import kubernetes_validate

    for document in yaml.safe_load_all(text):
        try:
            kubernetes_validate.validate(document, "1.34", strict=True)
        except kubernetes_validate.ValidationError as error:
            yield str(error.message)


def batch(text):
    import botocore.session
    from botocore.validate import ParamValidator

    service = botocore.session.get_session().get_service_model("batch")
    written = json.loads(text)
    asked = [("RegisterJobDefinition", one) for one in written.pop("jobDefinitions")]
    asked += [("SubmitJob", one) for one in written.values()]
    for operation, parameters in asked:
        shape = service.operation_model(operation).input_shape
        report = ParamValidator().validate(parameters, shape)
        if report.has_errors():
            yield f"{operation}: {report.generate_report()}"


with open(sys.argv[2], encoding="utf-8") as file:
    complaints = {"kubernetes": kubernetes, "batch": batch}[sys.argv[1]](file.read())
    print(json.dumps(list(complaints)))
