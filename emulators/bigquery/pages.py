"""HTTP beside the API itself: tokens for clients, and the kinds of uploads."""

import time
from typing import Any

import jwt
from bqemulator import server
from bqemulator.api.routes import upload
from fastapi import FastAPI


async def token() -> dict[str, Any]:
    """Answer of an OAuth server: any client gets a token, and every token is accepted."""
    claims = {"iss": "emulator", "aud": "emulator", "exp": int(time.time()) + 3600}
    id_token = jwt.encode(claims, "nobody checks the signature of this stand-in", algorithm="HS256")
    return {"access_token": "emulator", "token_type": "Bearer", "expires_in": 3600, "id_token": id_token}


def install() -> None:
    """Add the page of tokens to the application, and accept what google-cloud-bigquery sends."""
    # It uploads files as this.
    upload._PERMITTED_MEDIA_CONTENT_TYPES += ("*/*",)
    create = server.create_app

    def create_app(context: Any) -> FastAPI:
        application = create(context)
        application.add_api_route("/token", token, methods=["POST"])
        return application

    server.create_app = create_app
