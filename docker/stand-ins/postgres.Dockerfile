# A stand-in for postgres:17; docker/stand-ins/build makes root.tar from Debian's packages.
FROM scratch
ADD root.tar /
LABEL stand-in="PostgreSQL of Debian trixie"
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/17/bin \
    LANG=en_US.utf8 PG_MAJOR=17 PGDATA=/var/lib/postgresql/data
VOLUME /var/lib/postgresql/data
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
