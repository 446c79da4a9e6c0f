{% macro generate_schema_name(custom_schema_name, node) %}
    {#- The target's own name has the prefix of the warehouse already. -#}
    {%- set prefix = env_var('MLOPS_WAREHOUSE__PREFIX', '') ~ var('prefix') -%}
    {{- prefix ~ custom_schema_name if custom_schema_name else target.schema -}}
{% endmacro %}
