"""Makes an endpoint of MLflow's AI gateway. Arguments: the tracking URI, and the address of a model that speaks OpenAI's API."""
import json
import sys

import mlflow
from mlflow.entities import GatewayEndpointModelConfig
from mlflow.entities.gateway_endpoint import GatewayModelLinkageType
from mlflow.tracking._tracking_service.utils import _get_store

mlflow.set_tracking_uri(sys.argv[1])
store = _get_store()
secret = store.create_gateway_secret("secret", {"api_key": "k"}, provider="openai", auth_config={"api_base": sys.argv[2]})
model = store.create_gateway_model_definition("model", secret.secret_id, "openai", "any")
config = GatewayEndpointModelConfig(model.model_definition_id, GatewayModelLinkageType.PRIMARY, 1.0)
print(json.dumps(store.create_gateway_endpoint("chat", [config], usage_tracking=False).name))
