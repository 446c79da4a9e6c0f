with

projects as (

    select * from {{ ref('stg_projects') }}

),

tags as (

    select * from {{ ref('stg_tags') }}

),

final as (

    select
        projects.id,
        projects.title,
        projects.description,
        tags.id is not null as is_labeled

    from projects
    left join tags
        on projects.id = tags.id

)

select * from final
