{% set columns, key = var('columns'), name(var('key')) %}

{# Without effect on PostgreSQL. A query on some months or labels then reads only these. #}
{{ config(
    alias='labeled_' ~ var('items'),
    partition_by={'field': name(columns.date), 'data_type': 'datetime', 'granularity': 'month'} if columns.date else none,
    cluster_by=[name(columns.label), key],
) }}

with

texts as (

    select * from {{ ref('stg_texts') }}

),

labels as (

    select * from {{ ref('stg_labels') }}

),

final as (

    select
        texts.{{ key }},
        {% for column in [columns.date] * (columns.date is not none) + columns.texts %}
            texts.{{ name(column) }},
        {% endfor %}
        labels.{{ name(columns.label) }}

    from texts
    inner join labels
        on texts.{{ key }} = labels.{{ key }}

)

select * from final
