{% set columns, key = var('columns'), name(var('key')) %}

{{ config(alias=var('items') ~ '_to_predict', cluster_by=[key]) }}

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
        {% for text in columns.texts %}
            texts.{{ name(text) }},
        {% endfor %}
        labels.{{ key }} is not null as is_labeled

    from texts
    left join labels
        on texts.{{ key }} = labels.{{ key }}

)

select * from final
