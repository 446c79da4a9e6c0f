{% macro publish() %}
    {% set candidate = ref('labeled_projects') %}
    {% set published = api.Relation.create(candidate.database, 'marts', candidate.identifier, type='table') %}
    {% do adapter.create_schema(published) %}
    {% set rows = adapter.dispatch('publish')(candidate, published) %}
    {{ log({'rows': rows} | tojson, info=True) }}
{% endmacro %}


{#
    The rows are replaced inside the table: renaming the table would take its views along, and dropping it would fail.
    Readers do not wait unless columns have changed. `begin` is explicit: dbt leaves transactions to psycopg2, which
    begins none after dbt's first commit.
#}
{% macro postgres__publish(candidate, published) %}
    {% call statement() %}
        begin;
        create table if not exists {{ published }} (like {{ candidate }});
        -- Without the lock, two writers at the same time would leave the rows of both.
        lock table {{ published }} in share row exclusive mode;
        delete from {{ published }};
    {% endcall %}
    {% do process_schema_changes('sync_all_columns', candidate, published) %}
    {% set columns = adapter.get_columns_in_relation(candidate) | map(attribute='quoted') | join(', ') %}
    {% call statement('insert') %}
        insert into {{ published }} ({{ columns }}) select {{ columns }} from {{ candidate }}
    {% endcall %}
    {# Others see the changes from here on; an earlier error rolls all of them back. #}
    {% do adapter.commit() %}
    {{ return(load_result('insert').response.rows_affected) }}
{% endmacro %}


{#
    The macro of dbt drops the column with every view that reads it; here PostgreSQL refuses and names the view.
    The table is empty at this point.
#}
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
