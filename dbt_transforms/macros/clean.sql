{% macro clean(column) -%}
    nullif(trim({{ column }}, {{ white_space() }}), '')
{%- endmacro %}


{% macro white_space() %}
    {{- adapter.dispatch('white_space')() -}}
{% endmacro %}


{# White space as defined by Unicode, the zero-width space and the byte-order mark. #}
{% macro default__white_space() -%}
    '\t\n\u000b\u000c\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff'
{%- endmacro %}


{# PostgreSQL interprets escapes only in strings with the prefix E. #}
{% macro postgres__white_space() -%}
    E{{ default__white_space() }}
{%- endmacro %}
