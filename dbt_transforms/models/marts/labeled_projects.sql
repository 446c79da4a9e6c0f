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
        projects.created_on,
        projects.title,
        projects.description,
        tags.tag

    from projects
    inner join tags
        on projects.id = tags.id

)

select * from final
