# A stand-in for python:3.11-slim-bookworm; docker/stand-ins/build makes root.tar from Debian's packages.
FROM scratch
ADD root.tar /
LABEL stand-in="Python of Debian bookworm"
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
CMD ["python3"]
