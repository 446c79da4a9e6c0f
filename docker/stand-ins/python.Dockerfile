# A stand-in for an official Python image; docker/stand-ins/build makes root.tar from Debian's packages.
FROM scratch
ADD root.tar /
ARG suite
LABEL stand-in="Python of Debian $suite"
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
CMD ["python3"]
