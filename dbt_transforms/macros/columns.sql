{# A column of the application, quoted: its name may have any characters. #}
{% macro name(column) -%}
    {{ adapter.quote(column) }}
{%- endmacro %}


{% macro names(columns) -%}
    {% for column in columns %}{{ name(column) }}{{ '' if loop.last else ', ' }}{% endfor %}
{%- endmacro %}


{% macro hash_of(columns) -%}
    {% set parts = [] %}
    {% for column in columns %}
        {% do parts.append("coalesce(" ~ name(column) ~ ", '')") %}
    {% endfor %}
    {{ adapter.dispatch('hash_of_text')(parts | join(" || '\n' || ")) }}
{%- endmacro %}


{% macro default__hash_of_text(text) -%}
    md5({{ text }})
{%- endmacro %}


{% macro bigquery__hash_of_text(text) -%}
    to_hex(md5({{ text | replace('\n', '\\n') }}))
{%- endmacro %}


{% macro as_timestamp(column, type) -%}
    {{ adapter.dispatch('as_timestamp')(column, type) }}
{%- endmacro %}


{% macro default__as_timestamp(column, type) -%}
    {% if type == 'timestamp_with_time_zone' -%}
        {{ column }} at time zone 'UTC'
    {%- elif type == 'epoch_seconds' -%}
        timestamp '1970-01-01' + {{ column }} * interval '1 second'
    {%- elif type == 'epoch_milliseconds' -%}
        timestamp '1970-01-01' + {{ column }} * interval '1 millisecond'
    {%- else -%}
        cast({{ column }} as timestamp)
    {%- endif %}
{%- endmacro %}


{% macro bigquery__as_timestamp(column, type) -%}
    {% if type == 'epoch_seconds' -%}
        datetime(timestamp_seconds({{ column }}))
    {%- elif type == 'epoch_milliseconds' -%}
        datetime(timestamp_millis({{ column }}))
    {%- elif type == 'timestamp_with_time_zone' -%}
        datetime({{ column }}, 'UTC')
    {%- else -%}
        cast({{ column }} as datetime)
    {%- endif %}
{%- endmacro %}
