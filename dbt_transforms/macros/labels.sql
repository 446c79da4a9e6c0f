{# Labels of everything that this project makes, as a dictionary. #}
{% macro labels() %}
    {% set labels = fromjson(env_var('MLOPS_WAREHOUSE__LABELS', '{}')) %}
    {% do labels.update({'app': 'mlops'}) %}
    {{ return(labels) }}
{% endmacro %}


{# Comment of each query; on BigQuery it becomes the labels of the job. #}
{% macro query_comment(node) %}
    {% set comment = labels() %}
    {% do comment.update({'task': 'dbt-' ~ flags.WHICH}) %}
    {% if node %}
        {% do comment.update({'node': node.name}) %}
    {% endif %}
    {{ return(tojson(comment)) }}
{% endmacro %}


{# Replaces the macro of dbt, which knows neither the location nor labels. #}
{% macro bigquery__create_schema(relation) %}
    {% call statement('create_schema') %}
        create schema if not exists {{ relation.without_identifier() }}
        options (location = '{{ target.location }}', labels = {{ labels().items() | list }})
    {% endcall %}
{% endmacro %}


{# These two replace the macros of dbt, to add the labels. #}
{% macro bigquery_table_options(config, model, temporary) %}
    {% set options = adapter.get_table_options(config, model, temporary) %}
    {% do options.update({'labels': labels().items() | list}) %}
    {{ return(bigquery_options(options)) }}
{% endmacro %}


{% macro bigquery_view_options(config, model) %}
    {% set options = adapter.get_view_options(config, model) %}
    {% do options.update({'labels': labels().items() | list}) %}
    {{ return(bigquery_options(options)) }}
{% endmacro %}
