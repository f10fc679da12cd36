"""Fetches Cost Details reports with Azure's own client, and adds up what is in them.

Usage: azure_sdk.py < reports.json

The input is a list of {"scope": path, "body": request}; endpoints and credentials come from the variables
that `costlake simulate --env-file` writes. The output is one {"bytes", "rows", "cost"} per report: bytes as
Azure announces them and as they came, rows without headers, and the exact sum of CostInBillingCurrency.
"""

import csv
import decimal
import io
import json
import os
import sys
import time
import urllib.parse
import urllib.request

from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import BearerTokenCredentialPolicy
from azure.mgmt.costmanagement import CostManagementClient

TOKEN_SCOPE = "https://management.azure.com/.default"
COST = "CostInBillingCurrency"
DEADLINE_SECONDS = 60

# No sum may be rounded; one that would be is an error.
decimal.setcontext(decimal.Context(prec=200, traps=[decimal.Inexact, decimal.InvalidOperation]))


class ClientSecret:
    """Signs in at the simulator's token endpoint. The official credentials refuse http."""

    def get_token(self, *scopes, **_options):
        form = {
            "grant_type": "client_credentials",
            "client_id": os.environ["AZURE_CLIENT_ID"],
            "client_secret": os.environ["AZURE_CLIENT_SECRET"],
            "scope": " ".join(scopes),
        }
        url = f"{os.environ['AZURE_AUTHORITY_HOST']}/{os.environ['AZURE_TENANT_ID']}/oauth2/v2.0/token"
        with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode()) as answer:
            grant = json.load(answer)
        return AccessToken(grant["access_token"], int(time.time()) + grant["expires_in"])


class PlainHttpTokenPolicy(BearerTokenCredentialPolicy):
    """The client's own policy, except that it sends tokens over http too: to 127.0.0.1 only."""

    def on_request(self, request):
        assert urllib.parse.urlsplit(request.http_request.url).hostname == "127.0.0.1"
        request.context.options["enforce_https"] = False
        super().on_request(request)


def make_client():
    credential = ClientSecret()
    return CostManagementClient(
        credential,
        base_url=os.environ["COSTLAKE_ARM_ENDPOINT"],
        authentication_policy=PlainHttpTokenPolicy(credential, TOKEN_SCOPE),
        polling_interval=1,
    )


def fetch(operation, body):
    result = operation.result(DEADLINE_SECONDS)
    assert operation.done(), "the report is ready in time"
    assert result.status == "Completed", result
    manifest = result.manifest
    assert manifest.blob_count == len(manifest.blobs), manifest
    assert manifest.request_context.request_body.as_dict() == body, manifest.request_context
    totals = {"bytes": 0, "rows": 0, "cost": decimal.Decimal(0)}
    for blob in manifest.blobs:
        content = download(blob.blob_link)
        assert len(content) == blob.byte_count, f"{len(content)} bytes came, {blob.byte_count} were announced"
        add(totals, content)
    assert totals["bytes"] == manifest.byte_count, manifest
    return {**totals, "cost": str(totals["cost"])}


def download(link):
    """Opens a link as it is; its signature is all that it needs."""
    with urllib.request.urlopen(link) as answer:
        return answer.read()


def add(totals, content):
    rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    totals["bytes"] += len(content)
    for row in rows:
        totals["rows"] += 1
        totals["cost"] += decimal.Decimal(row[COST])


def main():
    client = make_client().generate_cost_details_report
    reports = json.load(sys.stdin)
    # Each operation polls on a thread of its own from here on.
    operations = [client.begin_create_operation(report["scope"], report["body"]) for report in reports]
    totals = [fetch(operation, report["body"]) for operation, report in zip(operations, reports)]
    json.dump(totals, sys.stdout)


main()
