#!/usr/bin/env bash
# A value in single quotes in a .env file is taken literally by POSIX shells and by Docker Compose. pydantic-settings 2.16.3
# (python-dotenv 1.2.4 reads the file) fills in ${NAME} there too, and offers no setting to switch it off: a password that
# contains "${" arrives changed, without an error. dotenv_values(interpolate=False) reads the same file unchanged.
# Output seen:
#   sh:                    pa${x}ss
#   pydantic-settings:     pass
#   dotenv, interpolate=False: pa${x}ss
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check pydantic-settings==2.16.3 python-dotenv==1.2.4

# shellcheck disable=SC2016
printf '%s\n' "PASSWORD='pa\${x}ss'" >.env
# shellcheck disable=SC2016
literal='pa${x}ss'

by_shell=$(env -i sh -c '. ./.env && printf %s "$PASSWORD"')
by_pydantic=$(env -i env/bin/python -c '
from pydantic_settings import BaseSettings, SettingsConfigDict

class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_file=".env")
    password: str

print(Settings().password, end="")')
by_dotenv=$(env -i env/bin/python -c '
from dotenv import dotenv_values

print(dotenv_values(".env", interpolate=False)["PASSWORD"], end="")')

echo "sh:                    $by_shell"
echo "pydantic-settings:     $by_pydantic"
echo "dotenv, interpolate=False: $by_dotenv"
[ "$by_shell" = "$literal" ] && [ "$by_pydantic" = pass ] && [ "$by_dotenv" = "$literal" ]
