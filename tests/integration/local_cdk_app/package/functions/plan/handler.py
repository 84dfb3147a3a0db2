"""Writes the generated secret where the test finds it, and says how the array job is to be started."""

import os

import boto3


def handler(_event: object, _context: object) -> dict[str, object]:
    secret = boto3.client("secretsmanager").get_secret_value(SecretId=os.environ["SECRET"])["SecretString"]
    boto3.client("s3").put_object(Bucket=os.environ["BUCKET"], Key="plan.jsonl", Body=secret)
    return {"size": 2, "plan": "plan.jsonl"}
