{{ config(alias='stg_' ~ var('items')) }}

{% set columns = var('columns') %}
{% set label = var('labels_source') is none %}
{% set rows = 'cleaned' if columns.id else 'keyed' %}

with

source as (

    select * from {{ source('raw', 'texts') }}

),

cleaned as (

    select
        {% if columns.id %}
            {{ name(columns.id) }},
        {% endif %}
        {% if columns.date %}
            {{ as_timestamp(name(columns.date), var('date_type')) }} as {{ name(columns.date) }},
        {% endif %}
        {% if label %}
            {{ clean(name(columns.label)) }} as {{ name(columns.label) }},
        {% endif %}
    {% for text in columns.texts %}
        {{ clean(name(text)) }} as {{ name(text) }}{{ '' if loop.last else ',' }}
    {% endfor %}

    from source

),

{% if not columns.id %}
hashed as (

    select
        *,
        {{ hash_of(columns.texts) }} as text_hash

    from cleaned

),

numbered as (

    select
        *,
        {# A hash, since the warehouses sort texts differently. #}
        row_number() over (
            partition by text_hash
            order by {{ hash_of([columns.label]) }}{% for date in [columns.date] if date %}, {{ name(date) }}{% endfor %}

        ) as copy_number

    from hashed

),

keyed as (

    select
        *,
        case
            when copy_number = 1 then text_hash
            else text_hash || '-' || cast(copy_number as {{ dbt.type_string() }})
        end as {{ name('id') }}

    from numbered

),
{% endif %}

{% if var('equal_texts') == 'first' %}
{% if not label %}
labelled as (

    select distinct {{ name(columns.id) }} as labelled_id from {{ source('raw', 'labels') }}

),

{% endif %}
ranked as (

    select
        {{ rows }}.*,
        row_number() over (
            partition by {{ names(columns.texts) }}
            {# A row with a label before its copies without one. #}
            order by
                case when {{ name(columns.label) if label else 'labelled_id' }} is null then 1 else 0 end,
                {{ name(var('key')) }}

        ) as text_rank

    from {{ rows }}
    {% if not label %}
        left join labelled on {{ rows }}.{{ name(columns.id) }} = labelled.labelled_id
    {% endif %}

),

distinct_texts as (

    select *
    from ranked
    where text_rank = 1

),
{% endif %}

final as (

    select
        {{ name(var('key')) }},
        {% if columns.date %}
            {{ name(columns.date) }},
        {% endif %}
        {% if label %}
        {{ name(columns.label) }},
        {% endif %}
        {{ names(columns.texts) }}

    from {{ 'distinct_texts' if var('equal_texts') == 'first' else rows }}

)

select * from final
