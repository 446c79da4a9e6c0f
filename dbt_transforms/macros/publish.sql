{% macro publish() %}
    {% set candidate = ref('labeled_projects') %}
    {% set published = api.Relation.create(candidate.database, 'marts', candidate.identifier, type='table') %}
    {% do adapter.create_schema(published) %}
    {% set rows = adapter.dispatch('publish')(candidate, published) %}
    {{ log({'rows': rows} | tojson, info=True) }}
{% endmacro %}


{#
    The table stays and its rows are replaced: a table that is renamed away takes its views along, and dropping it fails.
    Readers are not kept waiting unless columns have changed.
#}
{% macro postgres__publish(candidate, published) %}
    {% call statement() %}
        {# dbt leaves it to psycopg2 to begin transactions, and psycopg2 begins none after dbt's first commit. #}
        begin;
        create table if not exists {{ published }} (like {{ candidate }});
        -- Two writers at once would leave the rows of both.
        lock table {{ published }} in share row exclusive mode;
        delete from {{ published }};
    {% endcall %}
    {% do process_schema_changes('sync_all_columns', candidate, published) %}
    {% set columns = adapter.get_columns_in_relation(candidate) | map(attribute='quoted') | join(', ') %}
    {% call statement('insert') %}
        insert into {{ published }} ({{ columns }}) select {{ columns }} from {{ candidate }}
    {% endcall %}
    {# Nothing before this line is seen by others; an error rolls it back. #}
    {% do adapter.commit() %}
    {{ return(load_result('insert').response.rows_affected) }}
{% endmacro %}


{# dbt's own drops the column with every view that reads it; PostgreSQL refuses and names the view. The table is empty. #}
{% macro postgres__alter_column_type(relation, column_name, new_column_type) %}
    {% set column = adapter.quote(column_name) %}
    {% call statement() %}
        alter table {{ relation }} alter column {{ column }} type {{ new_column_type }} using null
    {% endcall %}
{% endmacro %}


{% macro bigquery__publish(candidate, published) %}
    {% call statement('replace') %}
        create or replace table {{ published }} as select * from {{ candidate }}
    {% endcall %}
    {{ return(load_result('replace').response.rows_affected) }}
{% endmacro %}
