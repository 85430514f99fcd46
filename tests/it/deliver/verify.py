"""Verifies signed webhooks with the reference library: reads one JSON object a line, with secret, headers and body."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

count = 0
for line in sys.stdin:
    request = json.loads(line)
    body, headers = request["body"], request["headers"]
    for secret in request["secrets"]:
        message = Webhook(secret).verify(body, headers)
        assert message["data"]["customer_id"], message
        try:
            Webhook(secret).verify(body + " ", headers)
        except WebhookVerificationError:
            count += 1
        else:
            sys.exit("a changed body is accepted")
print(count)
